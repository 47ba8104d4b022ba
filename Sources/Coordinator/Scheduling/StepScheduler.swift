import Shared

/// Decides who computes which share of a step: of a training step, or of a question about a network. Knows neither clock
/// nor socket nor file.
///
/// A share that is lost with its worker, is taken back, or takes much longer than its peers also goes to another
/// worker; the first answer counts. Since an answer depends on the share and the parameters alone, it does not matter
/// whose it is: a training gives the same bits with any workers.
///
/// ```
///           grant              first answer that can be
///  waiting ───────▶ held by 1…2 ───────────────────────▶ answered
///     ▲              │  lost, late, taken back, failed
///     └──────────────┘
/// ```
struct StepScheduler: RosterPolicy, Sendable {
    /// The parameters of its decisions.
    struct Policy: Sendable {
        /// Shares per thread of a worker, so that none waits for the next one.
        var sharesPerThread = 2
        /// The most shares of a worker.
        var sharesPerWorkerMax = 512
        /// Workers that may compute one share at a time.
        var copiesMax = 2
        /// A share that takes this multiple of the median of the last ones also goes to an idle worker, …
        var patience = 3.0
        /// … but not before this.
        var patienceMillisecondsMin: Int64 = 300
        /// A share is taken back after so many times the median, …
        var deadlineFactor = 16.0
        /// … but not before this, …
        var deadlineMillisecondsMin: Int64 = 30_000
        /// … and this while too little is known.
        var firstDeadlineMilliseconds: Int64 = 600_000
        /// Failures of one share, of so many witnesses or all that there are, after which the step is given up.
        var failuresMax = 3
        /// Failures of one worker in succession, after which it gets nothing while others are there.
        var failuresInRowMax = 3
        /// How long a worker may leave its messages unread.
        var unreadMilliseconds: Int64 = 10_000
        /// Floats of a part of a row.
        var partFloats = RowPart.floatsMax
        /// What peers may do.
        var limits = RosterLimits()
    }

    /// A worker's data.
    struct Duty: Sendable {
        /// The numbers of its open leases, the oldest first.
        var leases: [UInt32] = []
        var failuresInRow = 0
        /// Shares that it answered.
        var answers = 0
        /// The version of the parameters sent last.
        var version: UInt64?
        /// Floats of that version that it asked for.
        var servedFloats = 0
        /// Since when messages to it wait for room: it gets no more.
        var blockedSince: Moment?
        /// It missed a deadline and gets nothing until it answers or can stop.
        var isOverdue = false
    }

    /// What came of a share.
    enum Answer: Sendable, Equatable {
        case gradient(ShardGradient)
        case evaluation(Evaluation)
        /// Of masks, in their order.
        case evaluations([Evaluation])
        case row([Float])
        case filters(Mask)
    }

    /// A share of the present step.
    struct Share: Sendable {
        let step: Job.Step
        /// The leases that it is given under.
        var holders: [UInt32] = []
        /// Tries that failed, by witness.
        var failures: [Int: Int] = [:]
        /// The workers that missed its deadline.
        var late: Set<Int> = []
        var answer: Answer?
    }

    /// A share that a worker has.
    struct Lease: Sendable {
        let worker: Int
        let share: Int
        let grantedAt: Moment
        let deadline: Moment
        /// The parts of its gradient so far, and the rest of the answer.
        var assembly: RowAssembly?
        var rest: WorkerMessage.Answer?
    }

    /// Counts that only grow.
    struct Figures: Sendable, Equatable {
        var granted = 0, copies = 0, released = 0, failed = 0, late = 0
    }

    /// Durations from which the median is taken, and how many it needs.
    static let durationsMax = 31
    private static let durationsMin = 5
    /// How often a share's deadline is doubled, at most.
    private static let doublingsMax = 6

    let policy: Policy
    /// The training; nil where steps are questions about networks.
    let training: (work: TrainingWork, layout: ParameterLayout)?
    var roster: Roster<Duty>
    var shares: [Share] = []
    /// Shares that nobody holds, in the order in which they are granted.
    private(set) var waiting: [Int] = []
    var leases: [UInt32: Lease] = [:]
    var nextLease: UInt32 = 1
    /// The version of the parameters or of the network of the present step.
    private(set) var version: UInt64 = 0
    /// Floats of that version.
    var rowCount: Int
    /// Why an answer about a network cannot be; nil where it can.
    var refusal: @Sendable (NetworkTask, Answer) -> String? = { _, _ in nil }
    /// How long the last shares took, by their kind.
    var durations: [Int: [Int64]] = [:]
    /// Shares without an answer.
    var openCount = 0
    var figures = Figures()
    /// When the last share was answered.
    var lastAnswerAt: Moment
    /// Why the step cannot be computed.
    var givenUp: String?
    private(set) var isOver = false

    /// A scheduler of a training without a step.
    init(
        welcome: CoordinatorMessage.Welcome, layout: ParameterLayout, policy: Policy = Policy(), at now: Moment
    ) {
        guard let work = welcome.training else { preconditionFailure("a training") }
        training = (work, layout)
        rowCount = work.rowCount
        self.policy = policy
        roster = Roster(welcome: welcome, limits: policy.limits, at: now)
        lastAnswerAt = now
    }

    /// A scheduler of questions about networks.
    init(welcome: CoordinatorMessage.Welcome, policy: Policy = Policy(), at now: Moment) {
        precondition(welcome.networks != nil, "networks come with the questions")
        training = nil
        rowCount = 0
        self.policy = policy
        roster = Roster(welcome: welcome, limits: policy.limits, at: now)
        lastAnswerAt = now
    }

    // MARK: - Steps

    /// Starts a step with a version of the parameters that is later than the last step's, or the same.
    mutating func began(_ steps: [Job.Step], version: UInt64, at moment: Moment) -> [ClusterAction] {
        precondition(isDone && version >= self.version, "a step begins when the one before is over")
        advance(to: moment)
        return begin(steps, version)
    }

    /// Begins a step that asks about a network: a version of so many floats that is another one for another network, and
    /// later. `refusal` says why an answer cannot be, or nil.
    mutating func began(
        _ tasks: [NetworkTask], version: UInt64, floats: Int,
        refusal: @escaping @Sendable (NetworkTask, Answer) -> String?, at moment: Moment
    ) -> [ClusterAction] {
        precondition(isDone && version >= self.version, "a step begins when the one before is over")
        advance(to: moment)
        rowCount = floats
        self.refusal = refusal
        return begin(tasks.map { .network($0, floats: floats) }, version)
    }

    /// Other sets of images are named from now on: all workers fetch what they lack.
    mutating func changed(_ welcome: CoordinatorMessage.Welcome, at moment: Moment) -> [ClusterAction] {
        precondition(isDone && welcome.networks != nil, "between two questions about networks")
        advance(to: moment)
        for worker in workers.indices { workers[worker].version = nil }
        changeWelcome(welcome)
        return conclude()
    }

    private mutating func begin(_ steps: [Job.Step], _ version: UInt64) -> [ClusterAction] {
        self.version = version
        shares = steps.map { Share(step: $0) }
        waiting = Array(shares.indices)
        openCount = shares.count
        lastAnswerAt = now
        return conclude()
    }

    /// Whether every share is answered.
    var isDone: Bool { openCount == 0 }

    /// The answers, in the order of the shares.
    var answers: [Answer] { shares.compactMap(\.answer) }

    /// The training is over for the workers.
    mutating func finished(at moment: Moment) -> [ClusterAction] {
        advance(to: moment)
        isOver = true
        for number in leases.keys.sorted() { close(number) }
        waiting = []
        for worker in workers { if let peer = worker.peer { actions.append(.finish(peer)) } }
        return conclude()
    }

    /// Messages to a worker wait for room, or no longer do.
    mutating func blocked(_ peer: Peer, _ isBlocked: Bool, at moment: Moment) -> [ClusterAction] {
        advance(to: moment)
        guard let worker = peers[peer] else { return [] }
        workers[worker].blockedSince = isBlocked ? workers[worker].blockedSince ?? now : nil
        return conclude()
    }

    var lastLease: UInt32 { nextLease - 1 }

    // MARK: - Workers

    func newDuty() -> Duty { Duty() }

    func isForgettable(_ worker: Int) -> Bool { workers[worker].leases.isEmpty && workers[worker].answers == 0 }

    mutating func came(_ worker: Int, isRestart: Bool) {
        workers[worker].version = nil
        workers[worker].blockedSince = nil
        if isRestart { workers[worker].failuresInRow = 0 }
    }

    mutating func connected(_ worker: Int) { workers[worker].isOverdue = false }
    mutating func countReady(_ worker: Int, _ change: Int) {}
    mutating func stoodDown(_ worker: Int) {}
    mutating func becameReady(_ worker: Int) {}

    mutating func look(after worker: Int) {
        if let since = workers[worker].blockedSince, now - since > policy.unreadMilliseconds {
            dismissReader(worker)
            return
        }
        for number in workers[worker].leases {
            guard let lease = leases[number], lease.deadline < now else { continue }
            actions.append(.note("\(name(worker)) did not answer lease \(number) in time"))
            workers[worker].isOverdue = true
            figures.late += 1
            shares[lease.share].late.insert(worker)
            if let peer = workers[worker].peer { actions.append(.cancel(peer, id(number))) }
            release(number, "its deadline passed")
        }
    }

    /// Takes a worker's shares back if it does not read; if it reads again, it gets more.
    private mutating func dismissReader(_ worker: Int) {
        guard !workers[worker].leases.isEmpty else { return }
        actions.append(.note("\(name(worker)) does not read what it is sent; others take over its share"))
        gaveBack(worker, keeping: [], "it does not read what it is sent")
    }

    mutating func lost(_ worker: Int, _ reason: String) { gaveBack(worker, keeping: [], reason) }

    mutating func gaveBack(_ worker: Int, keeping: [LeaseID], _ reason: String) {
        for number in workers[worker].leases where !keeping.contains(id(number)) { release(number, reason) }
    }

    mutating func reconcile(_ worker: Int, _ held: [LeaseID], _ seen: LeaseID, _ peer: Peer) {
        let grace = Int64(roster.welcome.heartbeatMilliseconds * roster.welcome.liveness)
        for number in workers[worker].leases {
            guard let lease = leases[number], now - lease.grantedAt > grace, seen.life == roster.welcome.life,
                number <= seen.number
            else { continue }
            if !held.contains(id(number)) { release(number, "it does not hold it") }
        }
        var isBusy = false
        for lease in held where lease.life == roster.welcome.life && leases[lease.number]?.worker != worker {
            actions.append(.cancel(peer, lease))
            isBusy = true
        }
        if !isBusy { workers[worker].isOverdue = false }
    }

    func id(_ number: UInt32) -> LeaseID { LeaseID(life: roster.welcome.life, number: number) }

    // MARK: - Granting

    mutating func dispatch() {
        guard !isOver, givenUp == nil, openCount > 0 else { return }
        while let share = waiting.first, let worker = leastLoaded(limitPerThread: policy.sharesPerThread, for: share) {
            waiting.removeFirst()
            grant(share, to: worker)
        }
        guard waiting.isEmpty else { return }
        let medians = durations.compactMapValues(median)
        guard !medians.isEmpty else { return }
        for (index, share) in shares.enumerated() where share.answer == nil && share.holders.count < policy.copiesMax {
            guard let median = medians[share.step.kind] else { continue }
            let limit = max(Int64(policy.patience * Double(median)), policy.patienceMillisecondsMin)
            guard let since = share.holders.compactMap({ leases[$0]?.grantedAt }).min(), now - since > limit,
                let worker = leastLoaded(limitPerThread: 1, for: index),
                !share.holders.contains(where: { leases[$0]?.worker == worker })
            else { continue }
            figures.copies += 1
            grant(index, to: worker)
        }
    }

    /// The median of the last shares' times, or nil while too little is known.
    private func median(_ durations: [Int64]) -> Int64? {
        durations.count < Self.durationsMin ? nil : durations.sorted()[durations.count / 2]
    }

    /// Shares that a worker computes at a time: one on each thread, or one task about a network on all.
    private func slots(_ worker: Int) -> Int { training == nil ? 1 : max(1, workers[worker].hello?.threads ?? 1) }

    /// Who has the least to do. Who failed at the share, or at everything, is asked where nobody else is there.
    private func leastLoaded(limitPerThread: Int, for share: Int) -> Int? {
        var best: (load: Double, worker: Int)?
        var trusted: (load: Double, worker: Int)?
        var hasTrusted = false
        for index in peers.values {
            let worker = workers[index]
            guard worker.stage == .ready, !worker.isOverdue, worker.blockedSince == nil else { continue }
            let isDoubtful =
                worker.failuresInRow >= policy.failuresInRowMax
                || witness(of: index).map { shares[share].failures[$0] != nil } ?? false
                || shares[share].late.contains(index)
            if !isDoubtful { hasTrusted = true }
            let slots = slots(index)
            guard worker.leases.count < min(limitPerThread * slots, policy.sharesPerWorkerMax) else { continue }
            // Of workers that have equally much to do, it is the one that came first.
            let candidate = (Double(worker.leases.count) / Double(slots), index)
            if best.map({ candidate < $0 }) ?? true { best = candidate }
            if !isDoubtful, trusted.map({ candidate < $0 }) ?? true { trusted = candidate }
        }
        return hasTrusted ? trusted?.worker : best?.worker
    }

    private mutating func grant(_ share: Int, to worker: Int) {
        guard let peer = workers[worker].peer else { return }
        let number = nextLease
        nextLease += 1
        let usual =
            durations[shares[share].step.kind].flatMap(median).map {
                max(policy.deadlineMillisecondsMin, Int64(policy.deadlineFactor * Double($0)))
            } ?? policy.firstDeadlineMilliseconds
        // A question that took several workers too long may just take long; shares of a training are alike.
        let doublings = training == nil ? min(shares[share].late.count, Self.doublingsMax) : 0
        let patience = usual << Int64(doublings)
        leases[number] = Lease(worker: worker, share: share, grantedAt: now, deadline: now + patience)
        shares[share].holders.append(number)
        workers[worker].leases.append(number)
        figures.granted += 1
        if workers[worker].version != version {
            workers[worker].version = version
            workers[worker].servedFloats = 0
            actions.append(.sendParameters(peer))
        }
        actions.append(.grant(peer, id(number), .step(shares[share].step, version: version)))
    }

    /// Closes a lease whose share goes to others, if it is still open.
    mutating func release(_ number: UInt32, _ reason: String) {
        guard leases[number] != nil else { return }
        figures.released += 1
        actions.append(.release(id(number), reason: reason))
        close(number)
    }

    mutating func close(_ number: UInt32) {
        guard let lease = leases.removeValue(forKey: number) else { return }
        workers[lease.worker].leases.removeAll { $0 == number }
        shares[lease.share].holders.removeAll { $0 == number }
        if shares[lease.share].holders.isEmpty, shares[lease.share].answer == nil { waiting.append(lease.share) }
    }
}
