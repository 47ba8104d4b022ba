import Shared

/// Decides who computes which share of a training step; knows neither clock nor socket nor file.
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
        /// A share is taken back after this multiple of the median, …
        var deadlineFactor = 16.0
        /// … but not before this, …
        var deadlineMillisecondsMin: Int64 = 30_000
        /// … and this while too little is known.
        var firstDeadlineMilliseconds: Int64 = 600_000
        /// Failures of one share, with as many witnesses or all there are, after which the training is given up.
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
    }

    /// A share of the present step.
    struct Share: Sendable {
        let step: Job.Step
        /// The leases that it is given under.
        var holders: [UInt32] = []
        /// Tries that failed, by witness.
        var failures: [Int: Int] = [:]
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
    private static let durationsMax = 31
    private static let durationsMin = 5

    let policy: Policy
    let work: TrainingWork
    let layout: ParameterLayout
    var roster: Roster<Duty>
    private(set) var shares: [Share] = []
    /// Shares that nobody holds, in the order in which they are granted.
    private(set) var waiting: [Int] = []
    private(set) var leases: [UInt32: Lease] = [:]
    private var nextLease: UInt32 = 1
    /// The version of the parameters of the present step.
    private(set) var version: UInt64 = 0
    private var durations: [Int64] = []
    /// Shares without an answer.
    private var openCount = 0
    private(set) var figures = Figures()
    /// When the last share was answered.
    private(set) var lastAnswerAt: Moment
    /// Why the training cannot go on.
    private(set) var givenUp: String?
    private(set) var isOver = false

    /// A scheduler of a training without a step.
    init(
        welcome: CoordinatorMessage.Welcome, layout: ParameterLayout, policy: Policy = Policy(), at now: Moment
    ) {
        guard let work = welcome.training else { preconditionFailure("a training") }
        self.work = work
        self.layout = layout
        self.policy = policy
        roster = Roster(welcome: welcome, limits: policy.limits, at: now)
        lastAnswerAt = now
    }

    // MARK: - Steps

    /// Starts a step with a version of the parameters that is later than the last step's, or the same.
    mutating func began(_ steps: [Job.Step], version: UInt64, at moment: Moment) -> [ClusterAction] {
        precondition(isDone && version >= self.version, "a step begins when the one before is over")
        advance(to: moment)
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
            if let peer = workers[worker].peer { actions.append(.cancel(peer, id(number))) }
            release(number, "its deadline passed")
        }
    }

    /// Takes a worker's shares back if it does not read; if it reads again, it gets more.
    private mutating func dismissReader(_ worker: Int) {
        guard !workers[worker].leases.isEmpty else { return }
        actions.append(.note("\(name(worker)) does not read its messages; others take over its share"))
        gaveBack(worker, keeping: [], "it does not read its messages")
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

    private func id(_ number: UInt32) -> LeaseID { LeaseID(life: roster.welcome.life, number: number) }

    // MARK: - Granting

    mutating func dispatch() {
        guard !isOver, givenUp == nil, openCount > 0 else { return }
        while let share = waiting.first, let worker = leastLoaded(limitPerThread: policy.sharesPerThread, for: share) {
            waiting.removeFirst()
            grant(share, to: worker)
        }
        guard waiting.isEmpty, let median else { return }
        let limit = max(Int64(policy.patience * Double(median)), policy.patienceMillisecondsMin)
        for (index, share) in shares.enumerated() where share.answer == nil && share.holders.count < policy.copiesMax {
            guard let since = share.holders.compactMap({ leases[$0]?.grantedAt }).min(), now - since > limit,
                let worker = leastLoaded(limitPerThread: 1, for: index),
                !share.holders.contains(where: { leases[$0]?.worker == worker })
            else { continue }
            figures.copies += 1
            grant(index, to: worker)
        }
    }

    /// The median time of the last shares, or nil if too little is known.
    private var median: Int64? {
        durations.count < Self.durationsMin ? nil : durations.sorted()[durations.count / 2]
    }

    /// The worker with the least to do. One that failed at the share, or at everything, is asked only if nobody else is
    /// there.
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
            if !isDoubtful { hasTrusted = true }
            let threads = max(1, worker.hello?.threads ?? 1)
            guard worker.leases.count < min(limitPerThread * threads, policy.sharesPerWorkerMax) else { continue }
            // Of equally busy workers, the one that came first.
            let candidate = (Double(worker.leases.count) / Double(threads), index)
            if best.map({ candidate < $0 }) ?? true { best = candidate }
            if !isDoubtful, trusted.map({ candidate < $0 }) ?? true { trusted = candidate }
        }
        return hasTrusted ? trusted?.worker : best?.worker
    }

    private mutating func grant(_ share: Int, to worker: Int) {
        guard let peer = workers[worker].peer else { return }
        let number = nextLease
        nextLease += 1
        let patience =
            median.map { max(policy.deadlineMillisecondsMin, Int64(policy.deadlineFactor * Double($0))) }
            ?? policy.firstDeadlineMilliseconds
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
    private mutating func release(_ number: UInt32, _ reason: String) {
        guard leases[number] != nil else { return }
        figures.released += 1
        actions.append(.release(id(number), reason: reason))
        close(number)
    }

    private mutating func close(_ number: UInt32) {
        guard let lease = leases.removeValue(forKey: number) else { return }
        workers[lease.worker].leases.removeAll { $0 == number }
        shares[lease.share].holders.removeAll { $0 == number }
        if shares[lease.share].holders.isEmpty, shares[lease.share].answer == nil { waiting.append(lease.share) }
    }

    // MARK: - Answers

    mutating func take(
        _ message: WorkerMessage, from worker: Int, _ peer: Peer,
        _ granted: (LeaseID) throws -> Scheduler.GrantedLease?
    ) rethrows {
        switch message {
        case .part(let part): take(part, from: worker, peer)
        case .answer(let answer): take(answer, from: worker, peer)
        case .failed(let failure): take(failure, from: worker, peer)
        case .wantParameters(let version, let offset): serve(version, offset, to: worker, peer)
        case .hello, .want, .ready, .heartbeat, .goodbye: break
        }
    }

    private mutating func serve(_ version: UInt64, _ offset: Int, to worker: Int, _ peer: Peer) {
        // The step that needed others is over, or was an earlier life's.
        guard version == self.version else { return }
        guard offset < work.rowCount, offset % policy.partFloats == 0 else {
            misbehave(worker, "it asked for parameters that do not exist")
            return
        }
        workers[worker].servedFloats += policy.partFloats
        // Some of the messages may be lost in transit, and requested again.
        guard workers[worker].servedFloats <= 16 * (work.rowCount + 16 * policy.partFloats) else {
            dismiss(worker, "it asked for the parameters again and again")
            return
        }
        actions.append(.sendPart(peer, offset: offset))
    }

    /// The open lease of a number, if it is this worker's; says what is wrong if it never was.
    private mutating func open(_ lease: LeaseID, of worker: Int) -> UInt32? {
        guard lease.life == roster.welcome.life else { return nil }
        guard lease.number < nextLease else {
            misbehave(worker, "it answered a lease that was never granted")
            return nil
        }
        guard let known = leases[lease.number] else { return nil }
        guard known.worker == worker else {
            misbehave(worker, "it answered another worker's lease")
            return nil
        }
        return lease.number
    }

    private mutating func take(_ part: RowPart, from worker: Int, _ peer: Peer) {
        let lease = LeaseID(life: UInt32(part.subject >> 32), number: UInt32(truncatingIfNeeded: part.subject))
        guard let number = open(lease, of: worker), let share = leases[number]?.share else { return }
        guard case .gradient = shares[share].step else {
            misbehave(worker, "it sent numbers that nobody requested")
            return
        }
        if leases[number]?.assembly == nil {
            leases[number]?.assembly = RowAssembly(
                subject: part.subject, total: work.rowCount, partFloats: policy.partFloats)
        }
        guard leases[number]?.assembly?.add(part) == true else {
            misbehave(worker, "it sent a part that fits no row")
            return
        }
        completeIfWhole(number, worker, peer)
    }

    private mutating func take(_ answer: WorkerMessage.Answer, from worker: Int, _ peer: Peer) {
        guard answer.run == roster.welcome.run else {
            // It may have been on its way when that run ended.
            actions.append(.acknowledge(peer, answer.lease))
            return
        }
        guard let number = open(answer.lease, of: worker) else {
            actions.append(.acknowledge(peer, answer.lease))
            return
        }
        leases[number]?.rest = answer
        completeIfWhole(number, worker, peer)
    }

    /// Takes a complete answer. Missing parts come again, since it is not acknowledged.
    private mutating func completeIfWhole(_ number: UInt32, _ worker: Int, _ peer: Peer) {
        guard let lease = leases[number], let rest = lease.rest else { return }
        switch (shares[lease.share].step, rest.result) {
        case (.gradient, .gradient(let lossSum, let correct, let images)):
            guard images == work.shardSize, correct <= images else {
                return refuse(number, worker, peer, "it counted other images than those of its share")
            }
            guard let row = lease.assembly?.row else { return }
            guard lossSum.isFinite, layout.isPossible(row) else {
                let reason =
                    "its loss or gradient is not finite; if all workers say so, try a smaller --learning-rate "
                    + "or a longer --warm-up"
                actions.append(.acknowledge(peer, rest.lease))
                return fail(number, worker, reason)
            }
            // A cross-entropy is not negative, nor a divergence but for its rounding.
            guard lossSum >= -Double(images) else {
                return refuse(number, worker, peer, "it answered with an impossible loss")
            }
            let gradient = ShardGradient(
                gradient: Array(row[..<layout.trainedCount]), statistics: Array(row[layout.trainedCount...]),
                lossSum: lossSum, correct: correct, images: images)
            accept(number, .gradient(gradient), worker, peer)
        case (.evaluation(_, let range), .evaluation(let evaluation)):
            guard evaluation.images == range.count, evaluation.isPossible else {
                return refuse(number, worker, peer, "it answered with an impossible evaluation")
            }
            accept(number, .evaluation(evaluation), worker, peer)
        default: refuse(number, worker, peer, "it answered another question")
        }
    }

    private mutating func accept(_ number: UInt32, _ answer: Answer, _ worker: Int, _ peer: Peer) {
        guard let lease = leases[number] else { return }
        durations.append(now - lease.grantedAt)
        if durations.count > Self.durationsMax { durations.removeFirst() }
        shares[lease.share].answer = answer
        openCount -= 1
        lastAnswerAt = now
        workers[worker].failuresInRow = 0
        workers[worker].isOverdue = false
        workers[worker].answers += 1
        actions.append(.acknowledge(peer, id(number)))
        for holder in shares[lease.share].holders {
            if holder != number, let other = leases[holder].flatMap({ workers[$0.worker].peer }) {
                actions.append(.cancel(other, id(holder)))
            }
            close(holder)
        }
    }

    /// An answer that no honest worker gives.
    private mutating func refuse(_ number: UInt32, _ worker: Int, _ peer: Peer, _ reason: String) {
        actions.append(.acknowledge(peer, id(number)))
        fail(number, worker, reason)
        misbehave(worker, reason)
    }

    private mutating func take(_ failure: WorkerMessage.LeaseFailure, from worker: Int, _ peer: Peer) {
        guard failure.run == roster.welcome.run, let number = open(failure.lease, of: worker) else { return }
        actions.append(.note("\(name(worker)) could not compute a share: \(failure.reason)"))
        workers[worker].version = nil
        fail(number, worker, failure.reason)
    }

    /// A failed attempt: others try, until enough of them have.
    private mutating func fail(_ number: UInt32, _ worker: Int, _ reason: String) {
        guard let share = leases[number]?.share else { return }
        figures.failed += 1
        workers[worker].failuresInRow += 1
        shares[share].failures[witness(of: worker) ?? -1, default: 0] += 1
        let failures = shares[share].failures
        release(number, reason)
        let ready = peers.values.filter { workers[$0].stage == .ready }
        let witnesses = Set(ready.map { witness(of: $0) ?? -1 }).union(failures.keys).count
        let count = failures.values.reduce(0, +)
        if count >= policy.failuresMax, failures.count >= min(policy.failuresMax, witnesses) {
            givenUp = "a share of a step failed \(count) times, the last with: \(reason)"
        }
    }

    // MARK: - Status

    /// Workers that are ready.
    var readyCount: Int { peers.values.count { workers[$0].stage == .ready } }

    /// Why nothing progresses, in plain words, or nil while workers compute.
    func whyIdle(at moment: Moment) -> String? {
        let connected = workers.filter { $0.peer != nil }
        guard !connected.isEmpty else {
            let since = roster.lastWorkerGoneAt ?? roster.startedAt
            return "no worker has been connected for \(max(0, moment - since) / 1000) s"
        }
        let who = connected.count == 1 ? "the only worker is" : "all \(connected.count) workers are"
        if connected.allSatisfy({ $0.stage == .greeted }) { return "\(who) fetching the network and the images" }
        if connected.allSatisfy({ $0.stage == .leaving }) { return "\(who) leaving" }
        let ready = connected.filter { $0.stage == .ready }
        if ready.allSatisfy({ $0.isOverdue }) { return "\(who) past a deadline; stop and restart them" }
        if ready.allSatisfy({ $0.blockedSince != nil }) { return "\(who) not reading what is sent" }
        return nil
    }

    /// How the scheduler contradicts itself, or nil. O(shares + leases + workers): for tests.
    func brokenInvariant() -> String? {
        for (index, share) in shares.enumerated() {
            let isHeld = !share.holders.isEmpty
            if share.answer != nil, isHeld { return "share \(index): answered and held" }
            if isOver { continue }
            let count = waiting.count { $0 == index }
            if share.answer == nil, (count == 1) == isHeld { return "share \(index): waits or somebody has it" }
            if share.answer != nil, count > 0 { return "share \(index): answered and waits" }
            if share.holders.count > policy.copiesMax { return "share \(index): held too often" }
            for number in share.holders where leases[number]?.share != index {
                return "share \(index): held by no lease"
            }
        }
        if shares.count(where: { $0.answer == nil }) != openCount { return "open shares are not counted" }
        for (number, lease) in leases {
            if workers[lease.worker].peer == nil { return "lease \(number): its worker is gone" }
            if !workers[lease.worker].leases.contains(number) { return "lease \(number): its worker does not know" }
        }
        if workers.reduce(0, { $0 + $1.leases.count }) != leases.count { return "a worker has a lease that is closed" }
        for (index, worker) in workers.enumerated() {
            if let peer = worker.peer, peers[peer] != index { return "worker \(index): not found by its peer" }
            if worker.dismissed != nil, worker.peer != nil { return "worker \(index): dismissed and connected" }
        }
        return nil
    }
}
