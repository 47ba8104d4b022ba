import Shared

extension Scheduler {
    /// Evaluations came. Records the open ones, drops the others; then the worker may forget them.
    mutating func take(
        _ losses: WorkerMessage.Answer, from worker: Int, _ peer: Peer,
        _ granted: (LeaseID) throws -> GrantedLease?
    ) rethrows {
        if let fault = fault(of: losses, from: worker) {
            if losses.lease.life == roster.welcome.life, leases[losses.lease.number]?.worker == worker {
                release(losses.lease.number, fault)
            }
            actions.append(.acknowledge(peer, losses.lease))
            misbehave(worker, fault)
            return
        }
        let number = losses.lease.number
        let isOpen = losses.lease.life == roster.welcome.life && leases[number] != nil
        if !isOpen, try !wasGranted(losses, to: worker, granted) {
            figures.unasked += 1
            actions.append(.acknowledge(peer, losses.lease))
            return
        }
        setOverdue(worker, false)
        workers[worker].failedLeases = 0
        forgive(worker)
        if !losses.evaluations.isEmpty, let place = workers[worker].place {
            places[place].deathsInRow = 0
            places[place].hasAnswered = true
        }
        // Known evaluations come first: a worker that is wrong about them is not believed any more.
        for item in losses.evaluations where knownMasks[item.mask] != nil { compare(item, by: worker) }
        if isOpen {
            learn(from: losses, by: worker)
            for item in losses.evaluations {
                dropHolder(number, of: item.mask)
                weigh(item, by: worker)
            }
            // Masks without an answer go back.
            if leases[number].map({ $0.remaining > 0 }) == true { figures.released += 1 }
            countEmpty(losses, of: number, by: worker)
            close(number)
        } else {
            remember(
                "answered when it was no longer open, with \(losses.evaluations.count) evaluations", worker,
                lease: losses.lease, masks: MaskRuns(losses.evaluations.lazy.map(\.mask)))
            for item in losses.evaluations { weigh(item, by: worker) }
        }
        actions.append(.acknowledge(peer, losses.lease))
        queue(worker)
    }

    /// Whether an answer is to a lease that is closed but was this worker's, and to nothing else.
    private func wasGranted(
        _ losses: WorkerMessage.Answer, to worker: Int, _ granted: (LeaseID) throws -> GrantedLease?
    ) rethrows -> Bool {
        guard !losses.evaluations.isEmpty, let lease = try granted(losses.lease) else {
            return losses.evaluations.isEmpty
        }
        return lease.worker == workers[worker].id && losses.evaluations.allSatisfy { lease.masks.contains($0.mask) }
    }

    /// An answer without an evaluation, and without a reason, costs its sender time.
    private mutating func countEmpty(_ losses: WorkerMessage.Answer, of number: UInt32, by worker: Int) {
        guard losses.evaluations.isEmpty, leases[number].map({ $0.remaining > 0 }) == true else {
            workers[worker].emptyAnswers = 0
            return
        }
        workers[worker].emptyAnswers += 1
        rest(worker)
        // If a mask failed elsewhere too, this was a failed attempt.
        guard let place = workers[worker].place, let lease = leases[number] else { return }
        for mask in lease.masks where isHeld(mask, by: number) && troubles[mask] != nil {
            troubles[mask]?.failures[place, default: 0] += 1
            if let trouble = troubles[mask], isHopeless(trouble) {
                setAside(mask, "\(trouble.failureCount) attempts to evaluate it failed, the last without a reason")
            }
        }
    }

    /// What is wrong with an answer, or nil.
    private func fault(of losses: WorkerMessage.Answer, from worker: Int) -> String? {
        guard losses.run == roster.welcome.run else { return "it answered for another run" }
        guard case .masks = losses.result else { return "it answered another question" }
        var lease: Lease?
        if losses.lease.life == roster.welcome.life {
            lease = leases[losses.lease.number]
            if let lease, lease.worker != worker { return "it answered another worker's lease" }
            if losses.lease.number >= nextLease { return "it answered a lease that was never granted" }
        }
        var previous = -1
        for item in losses.evaluations {
            guard item.mask > previous else { return "its answer's masks do not ascend" }
            previous = item.mask
            guard item.mask < phases.count,
                lease.map({ $0.masks.contains(item.mask) || $0.trial == item.mask }) ?? true
            else {
                return "it answered with a mask that it was not given"
            }
            guard item.evaluation.images == work.settings.images else {
                return "it evaluated \(item.evaluation.images) images instead of \(work.settings.images)"
            }
            guard item.evaluation.isPossible else { return "it answered with an impossible loss" }
        }
        return nil
    }

    /// How fast a worker is, recent leases counting more.
    private mutating func learn(from losses: WorkerMessage.Answer, by worker: Int) {
        let count = losses.evaluations.count
        guard count > 0 else { return }
        let seconds = Double(losses.computeMicroseconds) / 1e6 / Double(count)
        let old = workers[worker].secondsPerMask ?? seconds
        workers[worker].secondsPerMask = 0.5 * old + 0.5 * seconds
        workers[worker].batch = max(workers[worker].batch, count)
    }

    /// One evaluation of a mask: the only one, or one of two that must agree.
    private mutating func weigh(_ item: MaskEvaluation, by worker: Int) {
        workers[worker].evaluations += 1
        switch phases[item.mask] {
        case .recorded, .confirmed: figures.duplicates += 1
        case .pending, .leased, .awaiting, .disputed, .aside, .suspect:
            // A worker that was just dismissed is not believed any more.
            guard workers[worker].dismissed == nil else { return }
            if isOwn(worker) {
                decide(item, by: worker, of: arithmetic(of: worker), [witness(of: worker) ?? -1])
            } else if needsVerification(item.mask, by: worker) {
                hear(item, from: worker)
            } else {
                record(item, by: worker, as: .recorded)
            }
        }
    }

    /// Passes an evaluation to the run file and ends all other work on its mask.
    mutating func record(_ item: MaskEvaluation, by worker: Int, as phase: Phase) {
        dropHolders(of: item.mask)
        move(item.mask, to: phase)
        recordedBy[item.mask] = UInt32(worker + 1)
        lastRecordedAt = now
        if !troubles.isEmpty { troubles[item.mask] = nil }
        actions.append(.record(item, by: workers[worker].id))
    }

    /// A lease or one mask of it could not be computed.
    mutating func take(_ failure: WorkerMessage.LeaseFailure, from worker: Int, _ peer: Peer) {
        guard failure.run == roster.welcome.run else {
            misbehave(worker, "it failed for another run")
            return
        }
        setOverdue(worker, false)
        let number = failure.lease.number
        guard failure.lease.life == roster.welcome.life, let lease = leases[number], lease.worker == worker else {
            return
        }
        guard let mask = failure.mask else {
            failWhole(number, of: worker, failure.reason)
            actions.append(.acknowledge(peer, failure.lease))
            return
        }
        guard lease.masks.contains(mask) else {
            misbehave(worker, "it failed with a mask that it was not given")
            return
        }
        guard isHeld(mask, by: number), let place = workers[worker].place else { return }
        remember("could not be evaluated: \(failure.reason)", worker, lease: failure.lease, masks: MaskRuns([mask]))
        actions.append(.note("\(name(worker)) could not evaluate mask \(mask): \(failure.reason)"))
        dropHolder(number, of: mask)
        troubles[mask, default: Trouble()].failures[place, default: 0] += 1
        if let trouble = troubles[mask], isHopeless(trouble) {
            setAside(
                mask, "it could not be evaluated \(trouble.failureCount) times; the last: \(failure.reason)")
        } else if holders[mask].first == 0 {
            settle(mask)
        }
        if leases[number]?.remaining == 0 { close(number) }
    }

    private mutating func failWhole(_ number: UInt32, of worker: Int, _ reason: String) {
        actions.append(.note("\(name(worker)) could not compute lease \(roster.welcome.life).\(number): \(reason)"))
        // Perhaps it was too large.
        workers[worker].batch = (leases[number]?.masks.count ?? 1) / 16
        release(number, reason)
        workers[worker].failedLeases += 1
        if workers[worker].failedLeases >= policy.failedLeasesMax {
            dismiss(worker, "it failed \(policy.failedLeasesMax) leases in a row, the last: \(reason)")
        }
    }
}
