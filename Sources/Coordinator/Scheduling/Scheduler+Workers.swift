import Shared

extension Scheduler {
    /// A worker's data.
    struct Duty: Sendable {
        /// The numbers of its open leases, the oldest first, which is the current one.
        var leases: [UInt32] = []
        var secondsPerMask: Double?
        /// Its reserved group of masks.
        var group: Int?
        /// Masks of its largest answered lease: the next one may be a few times larger.
        var batch = 0
        var evaluations = 0
        var leasesGranted = 0
        var failedLeases = 0
        /// Answers without an evaluation in succession.
        var emptyAnswers = 0
        /// It gets nothing until then.
        var restsUntil: Moment?
        var disagreements = 0
        /// It missed a deadline and gets nothing until it answers.
        var overdue = false
        /// It is in one of the queues of hungry workers.
        var queued = false
        /// The masks that are blamed for its silence; nobody is to blame if it comes back.
        var blamed = MaskRuns()
    }

    func newDuty() -> Duty { Duty() }

    func isForgettable(_ worker: Int) -> Bool {
        let it = workers[worker].duty
        return it.evaluations == 0 && it.leases.isEmpty && it.blamed.isEmpty && !it.queued && it.group == nil
            && !resting.contains(worker)
    }

    mutating func came(_ worker: Int, isRestart: Bool) {
        if isRestart { workers[worker].blamed = MaskRuns() } else { forgive(worker) }
    }

    mutating func connected(_ worker: Int) {
        setOverdue(worker, false)
        guard arithmetics.insert(arithmetic(of: worker)).inserted, arithmetics.count > 1 else { return }
        let text =
            "evaluates with arithmetic '\(arithmetic(of: worker))', others with another: they are compared within "
            + "\(policy.lossTolerance) nats and \(policy.lossToleranceShare) of the loss"
        remember(text, worker)
        actions.append(.note("\(name(worker)) \(text)"))
    }

    mutating func stoodDown(_ worker: Int) { giveUpGroup(of: worker) }

    mutating func becameReady(_ worker: Int) {
        rest(worker)
        queue(worker)
    }

    mutating func look(after worker: Int) { expireLeases(of: worker) }

    mutating func lost(_ worker: Int, _ reason: String) {
        if let computed = workers[worker].leases.first { blame(computed, "\(name(worker)) was lost: \(reason)") }
        gaveBack(worker, keeping: [], reason)
    }

    mutating func gaveBack(_ worker: Int, keeping: [LeaseID], _ reason: String) {
        for number in workers[worker].leases
        where !keeping.contains(LeaseID(life: roster.welcome.life, number: number)) { release(number, reason) }
    }
}
