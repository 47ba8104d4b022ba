import Shared

/// Decides who evaluates which mask when; knows neither clock nor socket nor file.
///
/// Events come in with a time, as past-tense methods, and each returns the caller's actions. A mask's life:
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
/// A mask whose workers died or failed is suspect: it is pending, but goes to other hosts first and with few others.
///
/// Its ``Roster`` keeps track of the workers.
///
/// All events take O(log masks) time and a bounded number of steps, apart from rare ones (a worker dismissed for wrong
/// evaluations, a run's last seconds).
public struct Scheduler: Sendable, RosterPolicy {
    /// The actions for its caller.
    public typealias Action = ClusterAction
    /// An entry of the run's history.
    public typealias Occurrence = ClusterAction.Occurrence
    /// A lease that this run granted in any life, from its table of leases.
    public typealias GrantedLease = (worker: WorkerID, masks: MaskRuns)

    /// The workers.
    var roster: Roster<Duty>
    /// What is evaluated.
    public let work: MaskWork
    /// The parameters of its decisions.
    public let policy: SchedulingPolicy

    /// Whether the caller starts a worker of its own on ``wantsReferee``; then masks wait for it.
    public var expectsReferee = false

    /// Where a mask is.
    enum Phase: UInt8 {
        /// Nobody has it.
        case pending
        /// One or two leases hold it.
        case leased
        /// One worker evaluated it and another one must.
        case awaiting
        /// Workers disagree about it and another one must decide.
        case disputed
        /// Its evaluation is in the run file.
        case recorded
        /// Its evaluation is in the run file, and two workers agreed on it.
        case confirmed
        /// It could not be evaluated.
        case aside
        /// Nobody holds it, and an earlier attempt failed.
        case suspect
    }

    // Masks.
    var phases: [Phase]
    /// The numbers of the leases that hold each mask, 0 for none; the first is filled first.
    var holders: [(first: UInt32, second: UInt32)]
    /// The worker whose evaluation of each mask is recorded, as its index plus one; 0 if unknown.
    var recordedBy: [UInt32]
    var pending: PendingSet
    /// The pending masks whose group no worker has reserved.
    var unreserved: PendingSet
    /// The workers with a reserved group, by the group's number.
    var reservations: [Int: Int] = [:]
    /// How many masks are in each phase, by its raw value.
    var counts = [Int](repeating: 0, count: 8)
    var troubles: [Int: Trouble] = [:]
    /// The suspect masks.
    var suspects: PendingSet
    var opinions: [Int: [Opinion]] = [:]
    /// Masks that await a second worker, by the first one's witness; an entry is void if the mask is no longer
    /// awaiting.
    var awaiting: [Int: Queue<Int>] = [:]
    var disputed: Set<Int> = []
    var knownMasks: [Int: KnownMask] = [:]
    /// The arithmetics of the workers that were here.
    var arithmetics: Set<String> = []
    /// The known masks, the oldest first.
    var knownOrder = Queue<Int>()

    // Workers and leases.
    /// Ready workers, without those that only judge.
    var readyCount = 0
    /// Ready workers that missed no deadline, by the numbers of their witnesses, and by those of their places without
    /// those that only judge.
    var readyByWitness: [Int: Int] = [:]
    var readyByPlace: [Int: Int] = [:]
    /// Ready workers that rest.
    var resting: [Int] = []
    var leases: [UInt32: Lease] = [:]
    var nextLease: UInt32 = 1
    /// Ready workers that hold fewer leases than they may; an entry is void if that changed.
    var hungry = Queue<Int>()
    /// Hungry workers for whom nothing was left.
    var parked = Queue<Int>()
    var workAppeared = false

    // The rest.
    var lastRecordedAt: Moment?
    /// Since when nothing but opinions has been missing.
    var tailSince: Moment?
    var stragglersCheckedAt: Moment
    var outcome: Outcome?
    private var ownFigures = Figures()
    /// Counts that only grow.
    var figures: Figures {
        get {
            var all = ownFigures
            (all.losses, all.dismissals, all.unreadable) = (roster.losses, roster.dismissals, roster.unreadable)
            return all
        }
        set { ownFigures = newValue }
    }

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
        /// Answers to leases that their sender did not hold.
        public var unasked = 0
        /// Messages that could not be read.
        public var unreadable = 0
        /// Evaluations that were proved wrong.
        public var disagreements = 0
        /// Evaluations that differ from others of the same witness, as happens on a host with failing memory.
        public var contradictions = 0
    }

    /// A scheduler of the masks `0..<work.masks`, none of them evaluated yet.
    public init(welcome: CoordinatorMessage.Welcome, policy: SchedulingPolicy = SchedulingPolicy(), at now: Moment) {
        guard let work = welcome.masks else { preconditionFailure("a run of masks") }
        self.work = work
        self.policy = policy
        roster = Roster(welcome: welcome, limits: policy.limits, at: now)
        stragglersCheckedAt = now
        phases = [Phase](repeating: .pending, count: work.masks)
        holders = [(first: UInt32, second: UInt32)](repeating: (0, 0), count: work.masks)
        recordedBy = [UInt32](repeating: 0, count: work.masks)
        pending = PendingSet(limit: work.masks)
        suspects = PendingSet(limit: work.masks)
        for mask in 0..<work.masks { pending.insert(mask) }
        unreserved = pending
        counts[Int(Phase.pending.rawValue)] = work.masks
    }

    /// Takes over an evaluation from the run file, before any event. `worker` is its evaluator, and `origin` that one's
    /// origin, if known.
    public mutating func restore(mask: Int, by worker: WorkerID?, from origin: Origin? = nil) {
        precondition(roster.checks.isEmpty && nextLease == 1, "evaluations are restored before any event")
        guard phases[mask] == .pending else { return }
        if let worker, let index = index(of: worker) {
            recordedBy[mask] = UInt32(index + 1)
            workers[index].evaluations += 1
            if let origin, workers[index].place == nil { workers[index].place = roster.place(of: origin) }
        }
        move(mask, to: .recorded)
    }

    // MARK: - Events

    /// The caller has enough evaluations: the run is over for the workers.
    public mutating func stopped(at moment: Moment) -> [Action] {
        advance(to: moment)
        if outcome == nil { end(.stopped) }
        return conclude()
    }

    /// The number of the last lease that was granted in this life, or 0.
    public var lastLease: UInt32 { nextLease - 1 }

    /// How the run ended, once it has.
    public var ended: Outcome? { outcome }

    // MARK: - Around every event

    var isOver: Bool { outcome != nil }

    mutating func dispatch() {
        guard outcome == nil else { return }
        if count(.pending) + count(.suspect) > 0 { tailSince = nil } else { tailSince = tailSince ?? now }
        endRests()
        grantAll()
        endIfDone()
    }

    mutating func take(
        _ message: WorkerMessage, from worker: Int, _ peer: Peer, _ granted: (LeaseID) throws -> GrantedLease?
    ) rethrows {
        switch message {
        case .answer(let answer): try take(answer, from: worker, peer, granted)
        case .failed(let failure): take(failure, from: worker, peer)
        // They may have been on their way when a training ended.
        case .part, .wantParameters: break
        case .hello, .want, .ready, .heartbeat, .goodbye: break
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

}
