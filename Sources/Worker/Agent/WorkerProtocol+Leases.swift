import Shared

extension WorkerProtocol {
    /// Masks came: they are computed after those that came before.
    mutating func take(_ lease: CoordinatorMessage.Lease) {
        guard let run, lease.run == run.run, lease.lease.life == run.life, work == .prepared else { return }
        if let answer = answers.first(where: { $0.losses.lease == lease.lease }) {
            send(.losses(answer.losses))
            return
        }
        guard !held.contains(lease.lease) else { return }
        guard leavesAt == nil else {
            send(.goodbye(keeping: held))
            return
        }
        guard !lease.masks.isEmpty, waiting.count < Self.waitingMax,
            lease.masks.allSatisfy({ $0.mask.count == run.filters && $0.index < run.masks })
        else {
            fail(lease.lease, mask: nil, "a lease whose masks do not fit the run")
            return
        }
        waiting.append(lease)
        computeNext()
    }

    /// A lease is not needed any more.
    mutating func cancel(_ lease: LeaseID) {
        waiting.removeAll { $0.lease == lease }
        answers.removeAll { $0.losses.lease == lease }
        if computing?.lease == lease {
            abandonComputing()
        }
        leaveIfDone()
    }

    /// Stops what is computed; the next lease begins when that is done.
    mutating func abandonComputing() {
        guard let lease = computing?.lease else { return }
        actions.append(.abandon(lease))
        abandoned = lease
        computing = nil
    }

    /// Computing a lease that was abandoned has stopped.
    public mutating func abandoned(_ lease: LeaseID, at moment: Moment) -> [Action] {
        guard advance(to: moment), abandoned == lease else { return [] }
        abandoned = nil
        computeNext()
        return conclude()
    }

    /// A lease's masks are evaluated, but for those that could not be.
    public mutating func computed(
        _ lease: LeaseID, evaluations: [MaskEvaluation], failures: [(mask: Int, reason: String)] = [],
        microseconds: UInt64, at moment: Moment
    ) -> [Action] {
        if abandoned == lease { return abandoned(lease, at: moment) }
        guard advance(to: moment), computing?.lease == lease, let run else { return [] }
        computing = nil
        for failure in failures { fail(lease, mask: failure.mask, failure.reason) }
        let losses = WorkerMessage.Losses(
            run: run.run, lease: lease, computeMicroseconds: microseconds, evaluations: evaluations)
        if answers.count >= Self.answersMax { answers.removeFirst() }
        answers.append(Answer(losses: losses, sentAt: now))
        send(.losses(losses))
        computeNext()
        return conclude()
    }

    /// A lease could not be computed at all.
    public mutating func computationFailed(_ lease: LeaseID, reason: String, at moment: Moment) -> [Action] {
        if abandoned == lease { return abandoned(lease, at: moment) }
        guard advance(to: moment), computing?.lease == lease else { return [] }
        computing = nil
        fail(lease, mask: nil, reason)
        computeNext()
        leaveIfDone()
        return conclude()
    }

    private mutating func computeNext() {
        guard computing == nil, abandoned == nil, !waiting.isEmpty else { return }
        let next = waiting.removeFirst()
        computing = next
        actions.append(.compute(next))
    }

    private mutating func fail(_ lease: LeaseID, mask: Int?, _ reason: String) {
        guard let run else { return }
        send(.failed(WorkerMessage.LeaseFailure(run: run.run, lease: lease, mask: mask, reason: reason)))
    }
}
