import Shared

@testable import Coordinator

/// A scheduler and a clock for tests; the invariants are checked after every event.
struct SchedulerStage {
    static let images = 100
    static let run = RunID(high: 1, low: 2)

    var scheduler: Scheduler
    var time = Moment(milliseconds: 0)
    /// Everything that the scheduler recorded, minus what it retracted, in order.
    var recorded: [Int] = []
    /// The table of leases.
    var leases: [LeaseID: Scheduler.GrantedLease] = [:]
    /// The origins of peers that do not each have their own host.
    var origins: [Int: Origin] = [:]

    init(masks: Int, life: UInt32 = 1, policy: SchedulingPolicy = SchedulingPolicy()) {
        scheduler = Scheduler(welcome: Self.welcome(masks: masks, life: life), policy: policy, at: time)
    }

    static func welcome(masks: Int, life: UInt32 = 1) -> CoordinatorMessage.Welcome {
        let digest = Digest(sha256Of: [1] as [UInt8])
        let work = MaskWork(
            settings: EvaluationSettings(split: .test, images: images, batchNorm: .frozen),
            network: .init(digest: digest, size: 1000), images: .init(digest: digest, size: 1000), filters: 10,
            masks: masks, ensemble: [], sample: digest)
        return CoordinatorMessage.Welcome(run: run, life: life, work: .masks(work))
    }

    mutating func perform(_ event: (inout Scheduler, Moment) -> [Scheduler.Action]) -> [Scheduler.Action] {
        let actions = event(&scheduler, time)
        scheduler.checkInvariants()
        for action in actions {
            if case .record(let item, _) = action { recorded.append(item.mask) }
            if case .retract(let masks) = action { recorded.removeAll { masks.contains($0) } }
            if case .grant(let peer, let lease, .masks(let masks)) = action, let worker = scheduler.peers[peer] {
                leases[lease] = (scheduler.workers[worker].id, masks)
            }
        }
        return actions
    }

    @discardableResult
    mutating func receive(_ message: WorkerMessage, from peer: Int) -> [Scheduler.Action] {
        let leases = leases
        let origin = origins[peer] ?? Origin(key: nil, address: "host \(peer)")
        return perform {
            $0.received(message, from: Peer(id: UInt64(peer)), of: origin, at: $1, granted: { leases[$0] })
        }
    }

    /// A worker's hello, by default from a peer with the same number.
    @discardableResult
    mutating func greet(_ worker: Int, from peer: Int? = nil, incarnation: UInt64 = 1) -> [Scheduler.Action] {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: UInt64(worker)), incarnation: incarnation, host: "h\(worker)", threads: 1,
            instructionSet: "plain", programVersion: "1")
        return receive(.hello(hello), from: peer ?? worker)
    }

    /// A hello and everything that follows until the worker has its leases.
    @discardableResult
    mutating func join(_ worker: Int, from peer: Int? = nil, incarnation: UInt64 = 1) -> [Scheduler.Action] {
        greet(worker, from: peer, incarnation: incarnation)
        return receive(.ready(Self.run), from: peer ?? worker)
    }

    /// The masks' evaluations, right by default.
    static func evaluation(_ mask: Int, wrongBy error: Int64 = 0) -> MaskEvaluation {
        MaskEvaluation(
            mask: mask, evaluation: Evaluation(lossSum: Int64(mask) * 1000 + error, correct: 1, images: images))
    }

    @discardableResult
    mutating func answer(
        _ lease: Scheduler.Granted, from peer: Int, wrongBy error: Int64 = 0, milliseconds: Int = 100
    ) -> [Scheduler.Action] {
        receive(
            .answer(
                .init(
                    run: Self.run, lease: lease.id, computeMicroseconds: UInt64(milliseconds) * 1000,
                    evaluations: lease.masks.map { Self.evaluation($0, wrongBy: error) })), from: peer)
    }

    /// Lets time pass in steps of 100 ms, while the given peers send heartbeats that name their open leases, or others.
    @discardableResult
    mutating func wait(_ milliseconds: Int64, heartbeatsFrom peers: [Int] = [], holding: [LeaseID]? = nil) -> [Scheduler
        .Action]
    {
        var all: [Scheduler.Action] = []
        let end = time + milliseconds
        while time < end {
            time = time + 100
            if time.milliseconds % 500 == 0 {
                for peer in peers {
                    guard let worker = scheduler.peers[Peer(id: UInt64(peer))] else { continue }
                    let held = scheduler.workers[worker].leases.map {
                        LeaseID(life: scheduler.roster.welcome.life, number: $0)
                    }
                    all += beat(holding ?? held, from: peer)
                }
            }
            if scheduler.nextDeadline <= time { all += perform { $0.timePassed(at: $1) } }
        }
        return all
    }

    /// A heartbeat of a worker that has read all that was sent to it.
    @discardableResult
    mutating func beat(_ held: [LeaseID], from peer: Int) -> [Scheduler.Action] {
        let seen = LeaseID(life: scheduler.roster.welcome.life, number: scheduler.lastLease)
        return receive(.heartbeat(held, seen: seen), from: peer)
    }

    /// Answers all leases until none are granted, all workers in turn.
    mutating func finish(_ actions: [Scheduler.Action]) -> [Scheduler.Action] {
        var open = actions.grants
        var all: [Scheduler.Action] = []
        while !open.isEmpty {
            let lease = open.removeFirst()
            let next = answer(lease, from: lease.peer)
            all += next
            open += next.grants
        }
        return all
    }
}

extension Scheduler {
    /// A lease in an action.
    struct Granted: Equatable {
        let peer: Int
        let id: LeaseID
        let masks: [Int]
    }
}

extension [Scheduler.Action] {
    var grants: [Scheduler.Granted] {
        compactMap {
            guard case .grant(let peer, let id, .masks(let masks)) = $0 else { return nil }
            return Scheduler.Granted(peer: Int(peer.id), id: id, masks: Array<Int>(masks))
        }
    }

    var dismissals: [Int] {
        compactMap {
            guard case .dismiss(let peer, _) = $0 else { return nil }
            return Int(peer.id)
        }
    }

    var cancelled: [LeaseID] {
        compactMap {
            guard case .cancel(_, let lease) = $0 else { return nil }
            return lease
        }
    }

    var outcome: Scheduler.Outcome? {
        for case .end(let outcome) in self { return outcome }
        return nil
    }
}
