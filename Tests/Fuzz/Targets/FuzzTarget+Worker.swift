import Shared

@testable import Worker

extension FuzzTarget {
    /// A worker's protocol and a coordinator that sends anything in any order. Its actions must be consistent after
    /// every event; blobs are stored without holes, one lease of masks is computed at a time, and of a training as many
    /// shares as there are threads, each with the parameters that it names.
    func worker(_ bytes: [UInt8]) {
        var input = FuzzInput(bytes)
        var stage = WorkerUnderFire()
        var events = 0
        while !input.isEmpty, events < 400 {
            events += 1
            stage.step(&input)
        }
    }
}

private struct WorkerUnderFire {
    private static let contents: [[UInt8]] = [[], Array(repeating: 7, count: 40), Array(0..<200)]
    private static let blobs = contents.map {
        CoordinatorMessage.Blob(digest: Digest(sha256Of: $0), size: UInt64($0.count))
    }

    private var state: WorkerProtocol
    private var now = Moment(milliseconds: 0)
    private var stored: [Digest: [UInt8]] = [:]
    private var located: CoordinatorMessage.Blob?
    private var checked: CoordinatorMessage.Blob?
    private var preparing: RunID?
    private var computing: [CoordinatorMessage.Lease] = []
    private var abandoned: [LeaseID] = []
    private var loaded: UInt64?
    private static let rowCount = 25

    init() {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: 1), incarnation: 1, host: "h", threads: 2, instructionSet: "plain",
            programVersion: "1")
        state = WorkerProtocol(hello: hello, graceMilliseconds: 3000, partBytes: 64, partFloats: 10, at: now)
        take(state.timePassed(at: now))
    }

    mutating func step(_ input: inout FuzzInput) {
        switch input.below(18) {
        case 0:
            now = now + Int64(input.number(UInt16.self))
            take(state.timePassed(at: now))
        case 1, 2: receive(.welcome(welcome(&input)))
        case 3: receive(.lease(lease(&input)))
        case 4: receive(.acknowledged(name(&input)))
        case 5: receive(.cancel(name(&input)))
        case 6: receive(.heartbeat(life: UInt32(input.below(4)), lease: UInt32(input.byte())))
        case 7: chunk(&input)
        case 8: receive(input.below(2) == 0 ? .introduce : .finished)
        case 9: takeBlob(&input)
        case 10:
            guard let run = preparing else { return }
            preparing = nil
            take(input.below(8) == 0 ? state.preparationFailed("r", at: now) : state.prepared(run, at: now))
        case 11, 12: endComputing(&input)
        case 13: take(state.receivedUnreadable(input.below(8) == 0 ? .otherVersion(3) : .damaged, at: now))
        case 14: if input.below(4) == 0 { take(state.stopRequested(at: now)) }
        case 15, 16:
            let offset = 10 * input.below(4)
            let count = input.below(16) == 0 ? 9 : max(0, min(10, Self.rowCount - offset))
            let part = RowPart(
                subject: UInt64(input.below(4)), total: Self.rowCount, offset: offset,
                floats: [Float](repeating: 1, count: count))
            receive(.parameters(part))
        default:
            let fields = input.block()
            let frame = Wire.frame(type: input.byte(), fields: fields[...])
            if let message = try? CoordinatorMessage(decoding: frame) { receive(message) }
        }
    }

    private mutating func welcome(_ input: inout FuzzInput) -> CoordinatorMessage.Welcome {
        let run = RunID(high: 0, low: UInt64(input.below(2)))
        let life = UInt32(input.below(4))
        let blobs = Self.blobs
        if input.below(2) == 0 {
            let work = TrainingWork(
                network: blobs[input.below(3)], teacher: nil, trainingImages: blobs[input.below(3)],
                testImages: blobs[input.below(3)], normalisation: .standard, loss: TrainingLoss(), shardSize: 2,
                precision: .float32, cutout: 0, mirrors: true, rowCount: Self.rowCount)
            return CoordinatorMessage.Welcome(run: run, life: life, work: .training(work))
        }
        let work = MaskWork(
            settings: EvaluationSettings(split: .test, images: 10, batchNorm: .frozen),
            network: blobs[input.below(3)], images: blobs[input.below(3)],
            calibrationImages: input.below(2) == 0 ? nil : blobs[input.below(3)], filters: 4, masks: 30,
            ensemble: [], sample: blobs[0].digest)
        return CoordinatorMessage.Welcome(run: run, life: life, work: .masks(work))
    }

    private mutating func name(_ input: inout FuzzInput) -> LeaseID {
        let held = state.held
        let choice = input.below(24)
        return choice < held.count ? held[choice] : LeaseID(life: UInt32(input.below(4)), number: UInt32(input.byte()))
    }

    private mutating func lease(_ input: inout FuzzInput) -> CoordinatorMessage.Lease {
        let run = input.below(8) == 0 ? RunID(high: 9, low: 9) : state.run?.run ?? RunID(high: 0, low: 0)
        let life = input.below(4) == 0 ? UInt32(input.below(4)) : state.run?.life ?? 1
        let job: Job
        switch input.below(4) {
        case 0, 1: job = .masks(MaskRuns(Set((0..<input.below(5)).map { _ in input.below(32) }).sorted()))
        case 2:
            let shard = TrainingShard(images: [1, input.below(9)], augmentationSeed: nil, epoch: 0)
            job = .step(.gradient(shard), version: UInt64(input.below(4)))
        default: job = .step(.evaluation(.test, 0..<input.below(9)), version: UInt64(input.below(4)))
        }
        return CoordinatorMessage.Lease(
            run: run, lease: LeaseID(life: life, number: UInt32(input.byte())), job: job)
    }

    private mutating func chunk(_ input: inout FuzzInput) {
        let index = input.below(3)
        let bytes = Self.contents[index]
        let start = min(64 * input.below(5), bytes.count)
        var part = Array(bytes[start..<min(start + 64, bytes.count)])
        if input.below(16) == 0 { part = input.block() }
        receive(.chunk(.init(digest: Self.blobs[index].digest, offset: UInt64(start), bytes: part)))
    }

    private mutating func takeBlob(_ input: inout FuzzInput) {
        if let blob = located {
            located = nil
            let count = UInt64(stored[blob.digest]?.count ?? 0)
            take(state.blobLocated(blob.digest, bytes: count, isWhole: input.below(4) == 0, at: now))
        } else if let blob = checked {
            checked = nil
            let isRight = input.below(4) != 0
            if !isRight { stored[blob.digest] = nil }
            take(state.blobChecked(blob.digest, isRight: isRight, at: now))
        }
    }

    private mutating func endComputing(_ input: inout FuzzInput) {
        if let lease = abandoned.popLast() {
            take(state.abandoned(lease, at: now))
        } else if let lease = computing.popLast() {
            if input.below(4) == 0 {
                take(state.computationFailed(lease.lease, reason: "r", at: now))
                return
            }
            switch lease.job {
            case .masks(let masks):
                let evaluations = masks.map { MaskEvaluation(mask: $0, evaluation: Evaluation(images: 10)) }
                take(state.computed(lease.lease, evaluations: evaluations, microseconds: 1, at: now))
            case .step:
                let row = [Float](repeating: 2, count: Self.rowCount)
                let result = JobResult.gradient(lossSum: 1, correct: 1, images: 2)
                take(state.computed(lease.lease, result, row: row, microseconds: 1, at: now))
            }
        }
    }

    private mutating func receive(_ message: CoordinatorMessage) { take(state.received(message, at: now)) }

    private mutating func take(_ actions: [WorkerProtocol.Action]) {
        if let broken = state.brokenInvariant() { fatalError(broken) }
        for action in actions {
            switch action {
            case .send(let message):
                precondition((try? WorkerMessage(decoding: message.encoded())) == message, "what it sends can be read")
            case .locate(let blob):
                located = blob
            case .store(let chunk):
                var bytes = stored[chunk.digest] ?? []
                precondition(chunk.offset <= bytes.count, "a blob is stored without holes")
                bytes.replaceSubrange(Int(chunk.offset)..., with: chunk.bytes)
                stored[chunk.digest] = bytes
            case .check(let blob): checked = blob
            case .prepare(let welcome): preparing = welcome.run
            case .load(let version, let row):
                precondition(row.count == Self.rowCount, "it loads whole parameters")
                loaded = version
            case .compute(let lease):
                computing.append(lease)
                switch lease.job {
                case .masks(let masks):
                    precondition(computing.count == 1 && abandoned.isEmpty, "it computes one lease of masks at a time")
                    precondition(!masks.isEmpty, "it computes something")
                case .step(_, let version):
                    precondition(computing.count + abandoned.count <= 2, "it computes a share on each thread")
                    precondition(loaded == version, "it computes with the parameters that are named")
                }
            case .abandon(let lease):
                computing.removeAll { $0.lease == lease }
                abandoned.append(lease)
            case .connect, .disconnect, .note, .stop: break
            }
        }
    }
}
