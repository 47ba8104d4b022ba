import Shared

/// Which answers count: those that can be, of whoever holds the share.
extension StepScheduler {
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
        guard offset < rowCount, offset % policy.partFloats == 0 else {
            misbehave(worker, "it asked for parameters that do not exist")
            return
        }
        workers[worker].servedFloats += policy.partFloats
        // Some of what is sent may be lost on the way, and asked for again.
        guard workers[worker].servedFloats <= 16 * (rowCount + 16 * policy.partFloats) else {
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
        guard possibleRow(of: shares[share].step).contains(part.total) else {
            misbehave(worker, "it sent numbers that nobody asked for")
            return
        }
        if leases[number]?.assembly == nil {
            leases[number]?.assembly = RowAssembly(
                subject: part.subject, total: part.total, partFloats: policy.partFloats)
        }
        guard leases[number]?.assembly?.add(part) == true else {
            misbehave(worker, "it sent a part that fits no row")
            return
        }
        completeIfWhole(number, worker, peer)
    }

    /// How many floats a share may give; none where it gives no row.
    private func possibleRow(of step: Job.Step) -> Range<Int> {
        switch step {
        case .gradient: rowCount..<rowCount + 1
        case .network(.gateGradients(let filters, _, _), _): filters..<filters + 1
        // Biases that are added and a graph that says so are all by which a network grows.
        case .network(.statistics, _), .network(.reconstruction, _): 1..<2 * rowCount + Self.rowSlack
        case .evaluation, .network(.evaluations, _), .network(.selection, _): 0..<0
        }
    }

    /// Floats by which a small network may grow.
    private static let rowSlack = 1 << 16

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
            guard let (work, layout) = training, images == work.shardSize, correct <= images else {
                return refuse(number, worker, peer, "it counted other images than those of its share")
            }
            guard let row = lease.assembly?.row else { return }
            guard lossSum.isFinite, layout.isPossible(row) else {
                let reason =
                    "its loss or gradient is no number; a smaller --learning-rate or a longer --warm-up helps where all "
                    + "workers say so"
                actions.append(.acknowledge(peer, rest.lease))
                return fail(number, worker, reason)
            }
            // A cross-entropy is not negative, nor a divergence but for its rounding.
            guard lossSum >= -Double(images) else {
                return refuse(number, worker, peer, "it answered with a loss that cannot be")
            }
            let gradient = ShardGradient(
                gradient: Array(row[..<layout.trainedCount]), statistics: Array(row[layout.trainedCount...]),
                lossSum: lossSum, correct: correct, images: images)
            accept(number, .gradient(gradient), worker, peer)
        case (.evaluation(_, let range), .evaluation(let evaluation)):
            guard evaluation.images == range.count, evaluation.isPossible else {
                return refuse(number, worker, peer, "it answered with an evaluation that cannot be")
            }
            accept(number, .evaluation(evaluation), worker, peer)
        case (.network(.evaluations(let batch), _), .masks(let found)):
            let evaluations = found.map(\.evaluation)
            guard found.map(\.mask).elementsEqual(batch.first..<batch.first + batch.masks.count),
                evaluations.allSatisfy({ $0.images == batch.imagesOfMask && $0.isPossible })
            else { return refuse(number, worker, peer, "it answered with evaluations that cannot be") }
            accept(number, .evaluations(evaluations), worker, peer)
        case (.network(.gateGradients, _), .row):
            guard let row = lease.assembly?.row else { return }
            guard row.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
                return refuse(number, worker, peer, "it answered with squares that cannot be")
            }
            accept(number, .row(row), worker, peer)
        case (.network(let task, _), .row) where !possibleRow(of: shares[lease.share].step).isEmpty:
            guard let row = lease.assembly?.row else { return }
            check(.row(row), of: task, number, worker, peer)
        case (.network(let task, _), .filters(let mask)):
            guard case .selection(let asked, _, _) = task, mask.count == asked.count,
                mask.disabledCount == asked.disabledCount
            else { return refuse(number, worker, peer, "it chose other filters than were asked for") }
            check(.filters(mask), of: task, number, worker, peer)
        default: refuse(number, worker, peer, "it answered another question")
        }
    }

    /// Takes an answer about a network that can be.
    private mutating func check(
        _ answer: Answer, of task: NetworkTask, _ number: UInt32, _ worker: Int, _ peer: Peer
    ) {
        if let reason = refusal(task, answer) {
            refuse(number, worker, peer, reason)
        } else {
            accept(number, answer, worker, peer)
        }
    }

    private mutating func accept(_ number: UInt32, _ answer: Answer, _ worker: Int, _ peer: Peer) {
        guard let lease = leases[number] else { return }
        let kind = shares[lease.share].step.kind
        durations[kind, default: []].append(now - lease.grantedAt)
        if let count = durations[kind]?.count, count > Self.durationsMax { durations[kind]?.removeFirst() }
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
}
