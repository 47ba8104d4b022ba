import Shared

extension Scheduler {
    /// Evaluations came. What is wanted is recorded, everything else dropped; then the worker may forget them.
    mutating func take(_ losses: WorkerMessage.Losses, from worker: Int, _ peer: Peer) {
        if let fault = fault(of: losses, from: worker) {
            if losses.lease.life == welcome.life, leases[losses.lease.number]?.worker == worker {
                release(losses.lease.number, fault)
            }
            actions.append(.acknowledge(peer, losses.lease))
            misbehave(worker, fault)
            return
        }
        workers[worker].overdue = false
        workers[worker].failedLeases = 0
        forgive(worker)
        let number = losses.lease.number
        if losses.lease.life == welcome.life, leases[number] != nil {
            learn(from: losses, by: worker)
            for item in losses.evaluations {
                dropHolder(number, of: item.mask)
                weigh(item, by: worker)
            }
            // Masks without an answer go back.
            if leases[number].map({ $0.remaining > 0 }) == true { figures.released += 1 }
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

    /// What is wrong with an answer, or nil.
    private func fault(of losses: WorkerMessage.Losses, from worker: Int) -> String? {
        guard losses.run == welcome.run else { return "it answered for another run" }
        var lease: Lease?
        if losses.lease.life == welcome.life {
            lease = leases[losses.lease.number]
            if let lease, lease.worker != worker { return "it answered another worker's lease" }
            if losses.lease.number >= nextLease { return "it answered a lease that was never granted" }
        }
        var previous = -1
        for item in losses.evaluations {
            guard item.mask > previous else { return "its answer's masks do not ascend" }
            previous = item.mask
            guard item.mask < phases.count, lease?.masks.contains(item.mask) ?? true else {
                return "it answered with a mask that it was not given"
            }
            guard item.evaluation.images == welcome.settings.images else {
                return "it evaluated \(item.evaluation.images) images instead of \(welcome.settings.images)"
            }
            let lossMax = Double(item.evaluation.images) * Evaluation.imageLossMax * Evaluation.unitsPerNat
            guard (0...item.evaluation.images).contains(item.evaluation.correct), item.evaluation.lossSum >= 0,
                Double(item.evaluation.lossSum) <= lossMax
            else { return "it answered with a loss that cannot be" }
        }
        return nil
    }

    /// How fast a worker is, recent leases counting more.
    private mutating func learn(from losses: WorkerMessage.Losses, by worker: Int) {
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
        case .pending, .leased, .awaiting, .disputed, .aside:
            if opinions[item.mask] == nil && !isVerified(item.mask) {
                record(item, by: worker, as: .recorded)
            } else {
                hear(item, from: worker)
            }
        }
    }

    /// Hands an evaluation to the run file and ends all other work on its mask.
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
        guard failure.run == welcome.run else {
            misbehave(worker, "it failed for another run")
            return
        }
        workers[worker].overdue = false
        let number = failure.lease.number
        guard failure.lease.life == welcome.life, let lease = leases[number], lease.worker == worker else { return }
        guard let mask = failure.mask else {
            failWhole(number, of: worker, failure.reason)
            actions.append(.acknowledge(peer, failure.lease))
            return
        }
        guard lease.masks.contains(mask) else {
            misbehave(worker, "it failed with a mask that it was not given")
            return
        }
        guard isHeld(mask, by: number) else { return }
        remember("could not be evaluated: \(failure.reason)", worker, lease: failure.lease, masks: MaskRuns([mask]))
        actions.append(.note("\(name(worker)) could not evaluate mask \(mask): \(failure.reason)"))
        dropHolder(number, of: mask)
        troubles[mask, default: Trouble()].failures += 1
        let failures = troubles[mask]?.failures ?? 0
        if failures >= policy.failuresPerMaskMax {
            setAside(mask, "it could not be evaluated \(failures) times; the last: \(failure.reason)")
        } else if holders[mask].first == 0 {
            settle(mask)
        }
        if leases[number]?.remaining == 0 { close(number) }
    }

    private mutating func failWhole(_ number: UInt32, of worker: Int, _ reason: String) {
        actions.append(.note("\(name(worker)) could not compute lease \(welcome.life).\(number): \(reason)"))
        // Perhaps it was too large.
        workers[worker].batch = (leases[number]?.masks.count ?? 1) / 16
        release(number, reason)
        workers[worker].failedLeases += 1
        if workers[worker].failedLeases >= policy.failedLeasesMax {
            dismiss(worker, "it failed \(policy.failedLeasesMax) leases in a row, the last: \(reason)")
        }
    }
}
