import Shared

@testable import Coordinator

extension FuzzTarget {
    /// A coordinator's scheduler of a training and peers that send anything in any order. Its decisions must be
    /// consistent after every event, and every accepted answer must be possible.
    func steps(_ bytes: [UInt8]) {
        var input = FuzzInput(bytes)
        var stage = StepsUnderFire(&input)
        var events = 0
        while !input.isEmpty, events < 400 {
            events += 1
            stage.step(&input)
        }
    }
}

private struct StepsUnderFire {
    private static let run = RunID(high: 1, low: 2)
    private static let blob = CoordinatorMessage.Blob(digest: Digest(sha256Of: [1]), size: 100)
    private static let layout: ParameterLayout = {
        guard let network = try? InitialNetwork("resnet:1x8") else { preconditionFailure("an architecture") }
        return ParameterLayout(network.graph)
    }()
    private static let partFloats = 400
    private static var rowCount: Int { layout.trainedCount + layout.statisticsCount }

    private var scheduler: StepScheduler
    private var now = Moment(milliseconds: 0)
    private var version: UInt64 = 0
    private var granted: [(peer: Peer, lease: LeaseID, step: Job.Step)] = []

    init(_ input: inout FuzzInput) {
        var policy = StepScheduler.Policy()
        policy.sharesPerThread = 1 + input.below(3)
        policy.copiesMax = 1 + input.below(3)
        policy.deadlineMillisecondsMin = 3000
        policy.firstDeadlineMilliseconds = 5000
        policy.partFloats = Self.partFloats
        policy.limits.workersMax = 6
        policy.limits.identitiesMax = 10
        policy.limits.originsMax = 5
        policy.limits.malformedMax = 2 + input.below(100)
        let work = TrainingWork(
            network: Self.blob, teacher: nil, trainingImages: Self.blob, testImages: Self.blob,
            normalisation: .standard, loss: TrainingLoss(), shardSize: 2, precision: .float32, cutout: 0, mirrors: true,
            rowCount: Self.rowCount)
        scheduler = StepScheduler(
            welcome: .init(run: Self.run, life: 2, work: .training(work)), layout: Self.layout, policy: policy, at: now)
        begin(&input)
    }

    private mutating func begin(_ input: inout FuzzInput) {
        granted = []
        version += UInt64(input.below(2))
        let steps = (0..<input.below(5)).map { index -> Job.Step in
            index % 3 == 2
                ? .evaluation(.test, 0..<index)
                : .gradient(TrainingShard(images: [index, 1], augmentationSeed: nil, epoch: 0))
        }
        take(scheduler.began(steps, version: version, at: now))
    }

    mutating func step(_ input: inout FuzzInput) {
        now = now + Int64(input.byte())
        let peer = Peer(id: UInt64(input.below(8)))
        switch input.below(12) {
        case 0:
            let hello = WorkerMessage.Hello(
                worker: WorkerID(high: 0, low: UInt64(input.below(12))), incarnation: UInt64(input.below(4)),
                host: "h", threads: 1 + input.below(3), instructionSet: "plain", programVersion: "1")
            receive(.hello(hello), peer)
        case 1: receive(.ready(input.below(8) == 7 ? RunID(high: 0, low: 0) : Self.run), peer)
        case 2, 3: sendPart(&input, peer)
        case 4, 5: answer(&input, peer)
        case 6:
            receive(.failed(.init(run: Self.run, lease: lease(&input), mask: nil, reason: "r")), peer)
        case 7: receive(.heartbeat((0..<input.below(4)).map { _ in lease(&input) }, seen: lease(&input)), peer)
        case 8:
            if input.below(2) == 0 {
                receive(.goodbye(keeping: (0..<input.below(3)).map { _ in lease(&input) }), peer)
            } else {
                receive(.wantParameters(version: UInt64(input.below(4)), offset: 200 * input.below(9)), peer)
            }
        case 9:
            now = now + 10 * Int64(input.byte())
            take(scheduler.timePassed(at: now, isBehind: input.below(4) == 0))
        case 10:
            switch input.below(3) {
            case 0: take(scheduler.disconnected(peer, at: now))
            case 1: take(scheduler.receivedUnreadable(.damaged, from: peer, at: now))
            default: take(scheduler.blocked(peer, input.below(2) == 0, at: now))
            }
        default:
            let fields = input.block()
            let frame = Wire.frame(type: input.byte(), fields: fields[...])
            if let message = try? WorkerMessage(decoding: frame) { receive(message, peer) }
        }
        if scheduler.isDone { begin(&input) }
    }

    private mutating func lease(_ input: inout FuzzInput) -> LeaseID {
        let choice = input.below(16)
        if choice < granted.count { return granted[granted.count - 1 - choice].lease }
        return LeaseID(life: UInt32(input.below(4)), number: UInt32(input.byte()))
    }

    private mutating func sendPart(_ input: inout FuzzInput, _ peer: Peer) {
        let offset = Self.partFloats * input.below(3)
        let count = input.below(16) == 0 ? 3 : max(0, min(Self.partFloats, Self.rowCount - offset))
        let value: Float = input.below(16) == 0 ? -1 : input.below(16) == 0 ? .nan : 1
        let lease = lease(&input)
        let sender = granted.last { $0.lease == lease }?.peer ?? peer
        let part = RowPart(
            subject: lease.subject, total: Self.rowCount, offset: offset,
            floats: [Float](repeating: value, count: count))
        receive(.part(part), input.below(16) == 0 ? peer : sender)
    }

    private mutating func answer(_ input: inout FuzzInput, _ peer: Peer) {
        let lease = lease(&input)
        let grant = granted.last { $0.lease == lease }
        let result: JobResult
        switch (grant?.step, input.below(16)) {
        case (_, 0): result = .masks([])
        case (.evaluation(_, let range), let kind):
            result = .evaluation(Evaluation(images: range.count + (kind == 1 ? 1 : 0)))
        case (_, 1): result = .gradient(lossSum: .infinity, correct: 0, images: 2)
        case (_, 2): result = .gradient(lossSum: -9, correct: 0, images: 2)
        case (_, 3): result = .gradient(lossSum: 1, correct: 0, images: 3)
        default: result = .gradient(lossSum: 1, correct: 1, images: 2)
        }
        let run = input.below(16) == 0 ? RunID(high: 9, low: 9) : Self.run
        receive(
            .answer(.init(run: run, lease: lease, computeMicroseconds: 1, result: result)),
            input.below(16) == 0 ? peer : grant?.peer ?? peer)
    }

    private mutating func receive(_ message: WorkerMessage, _ peer: Peer) {
        let origin = Origin(key: nil, address: "host \(peer.id / 2)")
        take(scheduler.received(message, from: peer, of: origin, at: now, granted: { _ in nil }))
    }

    private mutating func take(_ actions: [ClusterAction]) {
        if let broken = scheduler.brokenInvariant() { fatalError(broken) }
        for action in actions {
            switch action {
            case .grant(let peer, let lease, .step(let step, let version)):
                precondition(version == self.version, "a share is computed with the present parameters")
                precondition(scheduler.peers[peer] != nil, "shares go to workers")
                granted.append((peer, lease, step))
            case .sendPart(_, let offset):
                precondition(offset % Self.partFloats == 0 && offset < Self.rowCount, "only parts that exist are sent")
            case .sendChunk(_, let range):
                precondition(range.offset + UInt64(range.length) <= Self.blob.size, "only bytes that exist are sent")
            default: break
            }
        }
        for case .gradient(let gradient) in scheduler.answers {
            precondition(gradient.lossSum.isFinite && gradient.images == 2, "a contribution is one that can be")
            precondition(Self.layout.isPossible(gradient.gradient + gradient.statistics), "and so is its row")
        }
    }
}
