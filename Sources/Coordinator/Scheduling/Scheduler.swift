import Shared

/// Decides who evaluates which mask when; knows neither clock nor socket nor file.
///
/// Events come in with a time, as past-tense methods, and each returns what the caller has to do. A mask's life:
///
/// ```
///             grant                answer
///  pending ──────────▶ leased ─────────────────▶ recorded
///     ▲                 │  │  one of two opinions     ▲
///     │ lost, late,     │  └──────▶ awaiting ─────────┤ the second agrees
///     └─────────────────┤              │ it disagrees │
///                       │              ▼              │ two of more agree
///   too many deaths     │           disputed ─────────┘
///   or failures         └──▶ aside
/// ```
///
/// A mask whose workers died or failed is suspect: it is pending, but for other hosts first and in small company.
///
/// and a worker's: hello → greeted (fetches network and images) → ready → leaving or lost; a lost worker may come back
/// with another hello, a dismissed one may not.
///
/// All events take O(log masks) time and a bounded number of steps, apart from rare ones (a worker dismissed for wrong
/// evaluations, a run's last seconds).
public struct Scheduler: Sendable {
    /// What is evaluated.
    public let welcome: CoordinatorMessage.Welcome
    /// The numbers by which it decides.
    public let policy: SchedulingPolicy

    /// Whether the caller starts a worker of its own where ``wantsReferee``; then masks wait for it.
    public var expectsReferee = false

    /// Where a mask is.
    enum Phase: UInt8 {
        /// Nobody has it.
        case pending
        /// One or two leases hold it.
        case leased
        /// One worker evaluated it and another one shall.
        case awaiting
        /// Workers disagree about it and another one shall decide.
        case disputed
        /// Its evaluation is in the run file.
        case recorded
        /// Its evaluation is in the run file, and two workers agreed on it.
        case confirmed
        /// It could not be evaluated.
        case aside
        /// Nobody has it, and with whom it was before, something went wrong.
        case suspect
    }

    // Masks.
    var phases: [Phase]
    /// The numbers of the leases that hold each mask, 0 for none; the first is filled first.
    var holders: [(first: UInt32, second: UInt32)]
    /// The worker whose evaluation of each mask is recorded, as its index plus one; 0 where not known.
    var recordedBy: [UInt32]
    var pending: PendingSet
    /// The pending masks whose group no worker has for itself.
    var unreserved: PendingSet
    /// The workers that have a group for themselves, by the group's number.
    var reservations: [Int: Int] = [:]
    /// How many masks are in each phase, by its raw value.
    var counts = [Int](repeating: 0, count: 8)
    var troubles: [Int: Trouble] = [:]
    /// The suspect masks.
    var suspects: PendingSet
    var opinions: [Int: [Opinion]] = [:]
    /// Masks that await a second worker, by the first one's witness; an entry is void where the mask is no longer
    /// awaiting.
    var awaiting: [Int: Queue<Int>] = [:]
    var disputed: Set<Int> = []
    var knownMasks: [Int: KnownMask] = [:]
    /// The known masks, the oldest first.
    var knownOrder = Queue<Int>()

    // Workers and leases.
    var workers: [Worker] = []
    var indices: [WorkerID: Int] = [:]
    var peers: [Peer: Int] = [:]
    /// Ready workers, without those that only judge.
    var readyCount = 0
    /// Ready workers that missed no deadline, by the numbers of their witnesses, and by those of their places without
    /// those that only judge.
    var readyByWitness: [Int: Int] = [:]
    var readyByPlace: [Int: Int] = [:]
    var places: [Place] = []
    var placeIndices: [Origin: Int] = [:]
    var witnessIndices: [String: Int] = [:]
    /// Workers that are gone and had no part in anything, whose entries others may get.
    var forgettable = Queue<Int>()
    /// Ready workers that rest.
    var resting: [Int] = []
    var leases: [UInt32: Lease] = [:]
    var nextLease: UInt32 = 1
    /// Ready workers that hold fewer leases than they may; an entry is void where that changed.
    var hungry = Queue<Int>()
    /// Hungry workers for whom nothing was left.
    var parked = Queue<Int>()
    var workAppeared = false
    /// When to look after each connected worker again; all wait the same time, so the first is always next.
    var checks = Queue<(due: Moment, worker: Int, session: Int)>()

    // The rest.
    var now: Moment
    let startedAt: Moment
    var lastWorkerGoneAt: Moment?
    var lastRecordedAt: Moment?
    /// Since when nothing but opinions has been missing.
    var tailSince: Moment?
    var stragglersCheckedAt: Moment
    var outcome: Outcome?
    var actions: [Action] = []
    var figures = Figures()

    /// Counts that only grow.
    public struct Figures: Sendable, Equatable {
        /// Leases granted, without copies.
        public var leases = 0
        /// Leases that were also given to an idle worker.
        public var copies = 0
        /// Leases whose masks went back.
        public var released = 0
        /// Evaluations that were not needed.
        public var duplicates = 0
        /// Workers that were gone.
        public var losses = 0
        /// Workers dismissed.
        public var dismissals = 0
        /// Answers to leases that their sender was not given.
        public var unasked = 0
        /// Messages that could not be read.
        public var unreadable = 0
        /// Evaluations that were proved wrong.
        public var disagreements = 0
        /// Evaluations that differ from others of the same witness, as those of a host whose memory fails do.
        public var contradictions = 0
    }

    /// A scheduler of the masks `0..<welcome.masks`, none of them evaluated yet.
    public init(welcome: CoordinatorMessage.Welcome, policy: SchedulingPolicy = SchedulingPolicy(), at now: Moment) {
        self.welcome = welcome
        self.policy = policy
        self.now = now
        startedAt = now
        stragglersCheckedAt = now
        phases = [Phase](repeating: .pending, count: welcome.masks)
        holders = [(first: UInt32, second: UInt32)](repeating: (0, 0), count: welcome.masks)
        recordedBy = [UInt32](repeating: 0, count: welcome.masks)
        pending = PendingSet(limit: welcome.masks)
        suspects = PendingSet(limit: welcome.masks)
        for mask in 0..<welcome.masks { pending.insert(mask) }
        unreserved = pending
        counts[Int(Phase.pending.rawValue)] = welcome.masks
    }

    /// Takes over an evaluation from the run file; before any event. `worker` is who evaluated it, and `origin` where
    /// that one came from, where they are known.
    public mutating func restore(mask: Int, by worker: WorkerID?, from origin: Origin? = nil) {
        precondition(checks.isEmpty && nextLease == 1, "evaluations are restored before any event")
        guard phases[mask] == .pending else { return }
        if let worker, let index = index(of: worker) {
            recordedBy[mask] = UInt32(index + 1)
            workers[index].evaluations += 1
            if let origin, workers[index].place == nil { workers[index].place = place(of: origin) }
        }
        move(mask, to: .recorded)
    }

    // MARK: - Events

    /// A lease that this run granted in any of its lives, as its table of leases has it.
    public typealias GrantedLease = (worker: WorkerID, masks: MaskRuns)

    /// A message came from a peer, which comes from `origin`. `granted` looks a lease up that is not open any more.
    public mutating func received(
        _ message: WorkerMessage, from peer: Peer, of origin: Origin, at moment: Moment,
        granted: (LeaseID) throws -> GrantedLease?
    ) rethrows -> [Action] {
        advance(to: moment)
        if case .hello(let hello) = message {
            greet(hello, from: peer, of: origin)
        } else if let worker = peers[peer] {
            workers[worker].lastHeard = now
            workers[worker].messages += 1
            if workers[worker].messages > policy.messagesPerSecondMax {
                dismiss(worker, "it sent more than \(policy.messagesPerSecondMax) messages in a second")
            } else {
                try handle(message, from: worker, peer, granted)
            }
        } else {
            actions.append(.introduce(peer))
        }
        return conclude()
    }

    /// Bytes came from a peer that are no message.
    public mutating func receivedUnreadable(_ error: WireError, from peer: Peer, at moment: Moment) -> [Action] {
        advance(to: moment)
        figures.unreadable += 1
        if case .otherVersion = error {
            actions.append(.dismiss(peer, reason: error.description))
            actions.append(.note("refused a worker: \(error)"))
        } else if let worker = peers[peer] {
            workers[worker].unreadable += 1
            if workers[worker].unreadable >= policy.unreadableMax {
                dismiss(worker, "it sent \(policy.unreadableMax) unreadable messages, the last: \(error)")
            }
        }
        return conclude()
    }

    /// A peer cannot be reached any more.
    public mutating func disconnected(_ peer: Peer, at moment: Moment) -> [Action] {
        advance(to: moment)
        if let worker = peers[peer] { lose(worker, "its connection closed") }
        return conclude()
    }

    /// The time is ``nextDeadline`` or later. `isBehind` where messages wait that were not received yet: then silence
    /// may be the caller's.
    public mutating func timePassed(at moment: Moment, isBehind: Bool = false) -> [Action] {
        advance(to: moment)
        while let check = checks.first, check.due <= now {
            _ = checks.popFirst()
            guard workers[check.worker].session == check.session, workers[check.worker].peer != nil else { continue }
            look(after: check.worker, isBehind: isBehind)
            if workers[check.worker].peer != nil { checkLater(check.worker) }
        }
        return conclude()
    }

    /// The caller has enough evaluations: the run is over for the workers.
    public mutating func stopped(at moment: Moment) -> [Action] {
        advance(to: moment)
        if outcome == nil { end(.stopped) }
        return conclude()
    }

    /// When ``timePassed(at:)`` is due; ``Moment/never`` while nobody is connected.
    public var nextDeadline: Moment { checks.first?.due ?? .never }

    /// The number of the last lease that was granted in this life, or 0.
    public var lastLease: UInt32 { nextLease - 1 }

    /// How the run ended, once it has.
    public var ended: Outcome? { outcome }

    // MARK: - Around every event

    private mutating func advance(to moment: Moment) { now = max(now, moment) }

    private mutating func conclude() -> [Action] {
        if outcome == nil {
            if count(.pending) + count(.suspect) > 0 { tailSince = nil } else { tailSince = tailSince ?? now }
            endRests()
            dispatch()
            endIfDone()
        }
        let result = actions
        if !result.isEmpty { actions = [] }
        return result
    }

    private mutating func handle(
        _ message: WorkerMessage, from worker: Int, _ peer: Peer, _ granted: (LeaseID) throws -> GrantedLease?
    ) rethrows {
        if outcome != nil, !message.isGoodbye {
            actions.append(.finish(peer))
            return
        }
        switch message {
        case .hello: break
        case .want(let range): serve(range, to: worker, peer)
        case .ready(let run): becomeReady(worker, run)
        case .losses(let losses): try take(losses, from: worker, peer, granted)
        case .failed(let failure): take(failure, from: worker, peer)
        case .heartbeat(let held, let seen): reconcile(worker, held, seen, peer)
        case .goodbye(let keeping): leave(worker, keeping: keeping)
        }
    }

    private mutating func endIfDone() {
        guard count(.recorded) + count(.confirmed) + count(.aside) == phases.count else { return }
        end(count(.aside) == 0 ? .complete : .incomplete(setAside: count(.aside)))
    }

    private mutating func end(_ how: Outcome) {
        outcome = how
        for number in leases.keys.sorted() { close(number) }
        for worker in workers { if let peer = worker.peer { actions.append(.finish(peer)) } }
        actions.append(.end(how))
    }

    // MARK: - Masks

    /// How many masks are in a phase.
    func count(_ phase: Phase) -> Int { counts[Int(phase.rawValue)] }

    /// Moves a mask to another phase; keeps the sets and ``counts``.
    mutating func move(_ mask: Int, to phase: Phase) {
        let old = phases[mask]
        guard old != phase else { return }
        counts[Int(old.rawValue)] -= 1
        counts[Int(phase.rawValue)] += 1
        phases[mask] = phase
        if old == .pending {
            pending.remove(mask)
            unreserved.remove(mask)
        }
        if old == .disputed { disputed.remove(mask) }
        if old == .suspect { suspects.remove(mask) }
        switch phase {
        case .pending:
            pending.insert(mask)
            if reservations[mask / policy.maskGroup] == nil { unreserved.insert(mask) }
            workAppeared = true
        case .disputed:
            disputed.insert(mask)
            workAppeared = true
        case .suspect:
            suspects.insert(mask)
            workAppeared = true
        case .awaiting: workAppeared = true
        case .leased, .recorded, .confirmed, .aside: break
        }
    }

    /// Sets a mask aside.
    mutating func setAside(_ mask: Int, _ reason: String) {
        dropHolders(of: mask)
        opinions[mask] = nil
        move(mask, to: .aside)
        troubles[mask, default: Trouble()].reason = reason
        actions.append(.setAside(mask: mask, reason: reason))
        remember("set aside: \(reason)", nil, masks: MaskRuns([mask]))
    }

    /// Has something written into the run's history that its leases and evaluations do not tell.
    mutating func remember(_ what: String, _ worker: Int?, lease: LeaseID? = nil, masks: MaskRuns = MaskRuns()) {
        actions.append(
            .remember(Occurrence(worker: worker.map { workers[$0].id }, lease: lease, masks: masks, what: what)))
    }
}

extension WorkerMessage {
    fileprivate var isGoodbye: Bool {
        if case .goodbye = self { return true }
        return false
    }
}
