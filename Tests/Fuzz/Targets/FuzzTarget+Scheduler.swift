import Shared

@testable import Coordinator

extension FuzzTarget {
    /// A coordinator's scheduler and peers that send anything in any order. Its decisions must be consistent after
    /// every event, and a mask may be recorded only once.
    func scheduler(_ bytes: [UInt8]) {
        var input = FuzzInput(bytes)
        var stage = SchedulerUnderFire(&input)
        var events = 0
        while !input.isEmpty, events < 400 {
            events += 1
            stage.step(&input)
        }
    }
}

private struct SchedulerUnderFire {
    private static let images = 10
    private static let masks = 24
    private static let run = RunID(high: 1, low: 2)
    private static let blob = CoordinatorMessage.Blob(digest: Digest(sha256Of: [1]), size: 100)

    private var scheduler: Scheduler
    private var now = Moment(milliseconds: 0)
    private var recorded = Set<Int>()
    private var granted: [(peer: Peer, lease: LeaseID, masks: MaskRuns)] = []
    private var table: [LeaseID: Scheduler.GrantedLease] = [:]
    private let keys: Bool

    init(_ input: inout FuzzInput) {
        var policy = SchedulingPolicy()
        policy.leasesPerWorker = 1 + input.below(3)
        policy.masksPerLeaseMax = 1 + input.below(8)
        policy.maskSubgroup = 1 + input.below(3)
        policy.maskGroup = policy.maskSubgroup * (1 + input.below(4))
        policy.verifiedShare = Double(input.below(5)) / 4
        policy.verificationWaits = input.below(2) == 0
        policy.ownWorkersOnlyJudge = input.below(2) == 0
        policy.soloMilliseconds = 2000
        policy.strictSoloMilliseconds = 3000
        policy.disputeMilliseconds = 5000
        policy.leasesPerTrial = 1 + input.below(4)
        policy.knownMasksMax = 1 + input.below(4)
        policy.restMillisecondsMin = 1 + Int64(input.below(3000))
        policy.firstDeadlineMilliseconds = 5000
        policy.deadlineMillisecondsMin = 4000
        policy.limits.workersMax = 6
        policy.limits.identitiesMax = 10
        policy.limits.originsMax = 5
        keys = input.below(2) == 0
        policy.limits.malformedMax = 2 + input.below(100)
        policy.limits.unreadableMax = 3
        scheduler = Scheduler(
            welcome: .init(
                run: Self.run, life: 2,
                work: .masks(
                    MaskWork(
                        settings: EvaluationSettings(split: .test, images: Self.images, batchNorm: .frozen),
                        network: Self.blob, images: Self.blob, filters: 10, masks: Self.masks, ensemble: [],
                        sample: Self.blob.digest))), policy: policy, at: now)
        for mask in 0..<input.below(4) {
            let origin = mask == 0 ? nil : origin(of: Peer(id: UInt64(mask)))
            scheduler.restore(mask: mask, by: WorkerID(high: 0, low: UInt64(mask)), from: origin)
            recorded.insert(mask)
        }
    }

    mutating func step(_ input: inout FuzzInput) {
        now = now + Int64(input.byte())
        let peer = Peer(id: UInt64(input.below(8)))
        switch input.below(10) {
        case 0:
            let hello = WorkerMessage.Hello(
                worker: WorkerID(high: 0, low: UInt64(input.below(12))), incarnation: UInt64(input.below(4)),
                host: "h", threads: 1, instructionSet: "plain", programVersion: "1")
            receive(.hello(hello), peer)
        case 1: receive(.ready(input.below(8) == 7 ? RunID(high: 0, low: 0) : Self.run), peer)
        case 2, 3: answer(&input, peer)
        case 4:
            let lease = lease(&input)
            let mask = input.below(3) == 0 ? nil : Int(input.byte())
            receive(.failed(.init(run: Self.run, lease: lease, mask: mask, reason: "r")), peer)
        case 5: receive(.heartbeat((0..<input.below(4)).map { _ in lease(&input) }, seen: lease(&input)), peer)
        case 6: receive(.goodbye(keeping: (0..<input.below(3)).map { _ in lease(&input) }), peer)
        case 7:
            now = now + 10 * Int64(input.byte())
            take(scheduler.timePassed(at: now, isBehind: input.below(4) == 0))
        case 8:
            if input.below(2) == 0 {
                take(scheduler.disconnected(peer, at: now))
            } else {
                take(
                    scheduler.receivedUnreadable(input.below(4) == 0 ? .otherVersion(9) : .damaged, from: peer, at: now)
                )
            }
        default:
            let fields = input.block()
            let frame = Wire.frame(type: input.byte(), fields: fields[...])
            if let message = try? WorkerMessage(decoding: frame) { receive(message, peer) }
        }
    }

    private mutating func lease(_ input: inout FuzzInput) -> LeaseID {
        let choice = input.below(64)
        if choice < granted.count { return granted[granted.count - 1 - choice].lease }
        return LeaseID(life: UInt32(input.below(4)), number: UInt32(input.byte()))
    }

    private mutating func answer(_ input: inout FuzzInput, _ sender: Peer) {
        guard !granted.isEmpty else { return }
        let grant = granted[granted.count - 1 - min(input.below(16), granted.count - 1)]
        let kind = input.below(16)
        var evaluations = grant.masks.map { mask in
            MaskEvaluation(
                mask: mask,
                evaluation: Evaluation(lossSum: Int64(mask) + (kind == 9 ? 1 : 0), correct: 1, images: Self.images))
        }
        if kind == 10 { evaluations.removeLast() }
        if kind == 11 {
            evaluations.append(MaskEvaluation(mask: Int(input.byte()), evaluation: Evaluation(images: 10)))
        }
        receive(
            .answer(
                .init(
                    run: kind == 12 ? RunID(high: 9, low: 9) : Self.run,
                    lease: kind == 13 ? lease(&input) : grant.lease,
                    computeMicroseconds: input.number(UInt32.self) == 0 ? 0 : 1_000, evaluations: evaluations)),
            kind == 14 ? sender : grant.peer)
    }

    private mutating func receive(_ message: WorkerMessage, _ peer: Peer) {
        let table = table
        take(scheduler.received(message, from: peer, of: origin(of: peer), at: now, granted: { table[$0] }))
    }

    /// Two peers come from one host, one has its own key, and one is the coordinator's own.
    private func origin(of peer: Peer) -> Origin {
        let host = peer.id / 2
        return Origin(
            key: keys ? "key \(peer.id == 1 ? 9 : host)" : nil, address: "host \(host)", isOwn: keys && peer.id == 7)
    }

    private mutating func take(_ actions: [ClusterAction]) {
        if let broken = scheduler.brokenInvariant() { fatalError(broken) }
        for action in actions {
            switch action {
            case .record(let item, let worker):
                precondition(recorded.insert(item.mask).inserted, "a mask is recorded once")
                precondition(
                    table.values.contains { $0.worker == worker && $0.masks.contains(item.mask) },
                    "who evaluated a mask was given it")
            case .retract(let masks):
                for mask in masks { precondition(recorded.remove(mask) != nil, "only what is recorded is retracted") }
            case .grant(let peer, let lease, let job):
                let masks = job.masks
                precondition(
                    masks.count { recorded.contains($0) } <= 1, "of what is recorded, one mask is granted as a trial")
                granted.append((peer, lease, masks))
                guard let worker = scheduler.peers[peer] else { preconditionFailure("leases go to workers") }
                table[lease] = (scheduler.workers[worker].id, masks)
            case .sendChunk(_, let range):
                precondition(range.offset + UInt64(range.length) <= Self.blob.size, "only bytes that exist are sent")
            default: break
            }
        }
        precondition(scheduler.recordedCount == recorded.count, "what is recorded is counted")
    }
}
