import Shared

extension WorkerProtocol {
    /// Leases to compute at a time.
    var slots: Int { run?.training == nil ? 1 : max(1, hello.threads) }

    /// A job came: it is computed after the earlier ones.
    mutating func take(_ lease: CoordinatorMessage.Lease) {
        guard let run, lease.run == run.run, lease.lease.life == run.life, work == .prepared else { return }
        if let index = answers.firstIndex(where: { $0.message.lease == lease.lease }) {
            send(answerAt: index)
            return
        }
        guard !held.contains(lease.lease) else { return }
        guard leavesAt == nil else {
            send(.goodbye(keeping: held))
            return
        }
        guard waiting.count < Self.waitingMax + slots, fits(lease.job, run) else {
            fail(lease.lease, mask: nil, "a job that does not fit the run")
            return
        }
        if let version = lease.job.version { expect(version, of: lease.job, run) }
        waiting.append(lease)
        computeNext()
    }

    private func fits(_ job: Job, _ run: CoordinatorMessage.Welcome) -> Bool {
        switch (job, run.work) {
        case (.masks(let masks), .masks(let work)):
            !masks.isEmpty && masks.ranges.last.map { $0.upperBound <= work.masks } ?? false
        case (.step(.gradient(let shard), _), .training(let work)): shard.images.count == work.shardSize
        case (.step(.evaluation, _), .training): true
        case (.step(.network(let task, _), _), .networks(let work)): task.fits(imageSets: work.imageSets.count)
        default: false
        }
    }

    /// A lease is not needed any more.
    mutating func cancel(_ lease: LeaseID) {
        waiting.removeAll { $0.lease == lease }
        answers.removeAll { $0.message.lease == lease }
        abandon { $0 == lease }
        leaveIfDone()
    }

    /// Stops the current computation; the next lease begins when that is done.
    private mutating func abandon(where isUnwanted: (LeaseID) -> Bool) {
        for lease in computing.map(\.lease) where isUnwanted(lease) {
            actions.append(.abandon(lease))
            abandoned.append(lease)
        }
        computing.removeAll { isUnwanted($0.lease) }
    }

    /// Forgets completed and current work for a run that has been replaced.
    mutating func forgetSteps() {
        abandon { _ in true }
        answers = []
        row = nil
        rowAsked = [:]
    }

    /// Computing a lease that was abandoned has stopped.
    public mutating func abandoned(_ lease: LeaseID, at moment: Moment) -> [Action] {
        guard advance(to: moment), abandoned.contains(lease) else { return [] }
        abandoned.removeAll { $0 == lease }
        computeNext()
        return conclude()
    }

    /// A job is computed, except for masks that could not be evaluated; `row` is sent before the answer in parts.
    public mutating func computed(
        _ lease: LeaseID, _ result: JobResult, row: [Float] = [], failures: [(mask: Int, reason: String)] = [],
        microseconds: UInt64, at moment: Moment
    ) -> [Action] {
        if abandoned.contains(lease) { return abandoned(lease, at: moment) }
        guard advance(to: moment), computing.contains(where: { $0.lease == lease }), let run else { return [] }
        computing.removeAll { $0.lease == lease }
        for failure in failures { fail(lease, mask: failure.mask, failure.reason) }
        let message = WorkerMessage.Answer(
            run: run.run, lease: lease, computeMicroseconds: microseconds, result: result)
        keep(Answer(message: message, row: row, sentAt: now))
        computeNext()
        return conclude()
    }

    /// Masks are evaluated, except for those that could not be.
    public mutating func computed(
        _ lease: LeaseID, evaluations: [MaskEvaluation], failures: [(mask: Int, reason: String)] = [],
        microseconds: UInt64, at moment: Moment
    ) -> [Action] {
        computed(lease, .masks(evaluations), failures: failures, microseconds: microseconds, at: moment)
    }

    private mutating func keep(_ answer: Answer) {
        var floats = answers.reduce(0) { $0 + $1.row.count }
        while let oldest = answers.first, answers.count >= Self.answersMax + slots || floats > Self.answerFloatsMax {
            floats -= oldest.row.count
            answers.removeFirst()
        }
        answers.append(answer)
        send(answerAt: answers.count - 1)
    }

    /// Sends a kept answer, and the parts before it.
    mutating func send(answerAt index: Int) {
        answers[index].sentAt = now
        let answer = answers[index]
        let subject = answer.message.lease.subject
        for part in RowPart.parts(of: answer.row, subject: subject, floats: partFloats) { send(.part(part)) }
        send(.answer(answer.message))
    }

    /// A lease could not be computed at all.
    public mutating func computationFailed(_ lease: LeaseID, reason: String, at moment: Moment) -> [Action] {
        if abandoned.contains(lease) { return abandoned(lease, at: moment) }
        guard advance(to: moment), computing.contains(where: { $0.lease == lease }) else { return [] }
        computing.removeAll { $0.lease == lease }
        fail(lease, mask: nil, reason)
        computeNext()
        leaveIfDone()
        return conclude()
    }

    private mutating func computeNext() {
        while computing.count + abandoned.count < slots,
            let index = waiting.firstIndex(where: { canCompute($0.job) })
        {
            let next = waiting.remove(at: index)
            computing.append(next)
            actions.append(.compute(next))
        }
    }

    private mutating func fail(_ lease: LeaseID, mask: Int?, _ reason: String) {
        guard let run else { return }
        send(.failed(WorkerMessage.LeaseFailure(run: run.run, lease: lease, mask: mask, reason: reason)))
    }

    // MARK: - Parameters

    /// Whether a job's needs are here.
    func canCompute(_ job: Job) -> Bool {
        guard let version = job.version else { return true }
        return row?.subject == version && row?.isWhole == true
    }

    /// Makes room for a version of the parameters that a job needs, or a network, and asks for what is missing of it.
    private mutating func expect(_ version: UInt64, of job: Job, _ run: CoordinatorMessage.Welcome) {
        switch (job, run.work) {
        case (.step(.network(_, let floats), _), .networks): begin(version, floats: floats)
        case (_, .training(let work)): begin(version, floats: work.rowCount)
        default: return
        }
        askForParameters()
    }

    /// A later version replaces an earlier one: the coordinator has gone on to another step.
    private mutating func begin(_ version: UInt64, floats: Int) {
        guard row.map({ $0.subject < version }) ?? true else { return }
        row = RowAssembly(subject: version, total: floats, partFloats: partFloats)
        rowAsked = [:]
        waiting.removeAll { $0.job.version.map { $0 < version } ?? false }
    }

    /// A part of the parameters came.
    mutating func take(_ part: RowPart) {
        guard work == .prepared, let run, run.training.map({ $0.rowCount == part.total }) ?? (run.networks != nil)
        else {
            return
        }
        begin(part.subject, floats: part.total)
        guard row?.isWhole == false, row?.add(part) == true else { return }
        if let row, let floats = row.row {
            actions.append(.load(version: row.subject, floats))
            computeNext()
        } else if rowAsked.removeValue(forKey: part.offset) != nil {
            askForParameters()
        }
    }

    /// Requests parts of the parameters that jobs wait for, and repeats requests that are not answered. The coordinator
    /// sends them before the jobs; missing ones found no room in the send queue.
    mutating func askForParameters() {
        guard let row, !row.isWhole, waiting.contains(where: { $0.job.version == row.subject }) else { return }
        for offset in row.missing(atMost: Self.rowPartsMax)
        where rowAsked[offset].map({ now - $0 >= heartbeatMilliseconds }) ?? true {
            rowAsked[offset] = now
            send(.wantParameters(version: row.subject, offset: offset))
        }
    }
}
