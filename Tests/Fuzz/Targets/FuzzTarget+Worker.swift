import Shared

@testable import Worker

extension FuzzTarget {
    /// A worker's protocol and a coordinator that sends anything in any order. What it does must be consistent after
    /// every event; blobs are stored without holes, and one lease is computed at a time.
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
    private var computing: CoordinatorMessage.Lease?
    private var abandoned: LeaseID?

    init() {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: 1), incarnation: 1, host: "h", threads: 1, instructionSet: "plain",
            programVersion: "1")
        state = WorkerProtocol(hello: hello, graceMilliseconds: 3000, partBytes: 64, at: now)
        take(state.timePassed(at: now))
    }

    mutating func step(_ input: inout FuzzInput) {
        switch input.below(16) {
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
        default:
            let fields = input.block()
            let frame = Wire.frame(type: input.byte(), fields: fields[...])
            if let message = try? CoordinatorMessage(decoding: frame) { receive(message) }
        }
    }

    private mutating func welcome(_ input: inout FuzzInput) -> CoordinatorMessage.Welcome {
        CoordinatorMessage.Welcome(
            run: RunID(high: 0, low: UInt64(input.below(2))), life: UInt32(input.below(4)),
            settings: EvaluationSettings(split: .test, images: 10, batchNorm: .frozen),
            network: Self.blobs[input.below(3)], images: Self.blobs[input.below(3)],
            calibrationImages: input.below(2) == 0 ? nil : Self.blobs[input.below(3)], filters: 4, masks: 30)
    }

    private mutating func name(_ input: inout FuzzInput) -> LeaseID {
        let held = state.held
        let choice = input.below(24)
        return choice < held.count ? held[choice] : LeaseID(life: UInt32(input.below(4)), number: UInt32(input.byte()))
    }

    private mutating func lease(_ input: inout FuzzInput) -> CoordinatorMessage.Lease {
        let run = input.below(8) == 0 ? RunID(high: 9, low: 9) : state.run?.run ?? RunID(high: 0, low: 0)
        let life = input.below(4) == 0 ? UInt32(input.below(4)) : state.run?.life ?? 1
        let bits = input.below(16) == 0 ? 5 : 4
        let masks = (0..<input.below(5)).map { _ in
            IndexedMask(index: input.below(32), mask: Mask(count: bits, disabled: [input.below(4)]))
        }
        return CoordinatorMessage.Lease(
            run: run, lease: LeaseID(life: life, number: UInt32(input.byte())), masks: masks)
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
        if let lease = abandoned {
            abandoned = nil
            computing = nil
            take(state.abandoned(lease, at: now))
        } else if let lease = computing {
            computing = nil
            let evaluations = lease.masks.map { MaskEvaluation(mask: $0.index, evaluation: Evaluation(images: 10)) }
            take(
                input.below(4) == 0
                    ? state.computationFailed(lease.lease, reason: "r", at: now)
                    : state.computed(lease.lease, evaluations: evaluations, microseconds: 1, at: now))
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
            case .compute(let lease):
                precondition(computing == nil && abandoned == nil, "it computes one lease at a time")
                precondition(!lease.masks.isEmpty, "it computes something")
                computing = lease
            case .abandon(let lease): abandoned = lease
            case .connect, .disconnect, .note, .stop: break
            }
        }
    }
}
