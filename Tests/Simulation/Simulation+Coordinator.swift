import Shared
import Worker

@testable import Coordinator

extension Simulation {
    func startCoordinator() throws(SimulationFailure) {
        guard !isCoordinatorUp else { return }
        file.lives += 1
        guard file.lives < 10_000 else { throw failure("the coordinator is started again and again") }
        note("coordinator starts its life \(file.lives) with \(file.evaluations.count) evaluations")
        var current = welcome
        current.life = file.lives
        if let training {
            startStepper(training, current)
        } else {
            var new = Scheduler(welcome: current, policy: scenario.policy, at: now)
            for (mask, item) in file.evaluations.sorted(by: { $0.key < $1.key }) {
                let worker = workers.firstIndex { $0.id == item.worker }
                new.restore(mask: mask, by: item.worker, from: worker.map { scenario.origin(of: $0) })
            }
            scheduler = new
        }
        // The workers' sockets reconnect by themselves.
        connections = [:]
        for worker in workers.indices where workers[worker].peer != nil { openConnection(worker) }
        try coordinate(.timePassed(isBehind: false))
        // Who resumes a run starts its workers again.
        for worker in workers.indices where workers[worker].ending == .finished {
            workers[worker].ending = nil
            queue.insert(.startWorker(worker), at: now + draw(0...1000))
        }
    }

    func killCoordinator() {
        guard isCoordinatorUp else { return }
        note("coordinator dies")
        report.coordinatorDeaths += 1
        endCoordinator()
        queue.insert(.startCoordinator, at: now + draw(0...8000))
    }

    func endCoordinator() {
        scheduler = nil
        stepper = nil
        progress = nil
        coordinatorTimer = nil
        connections = [:]
    }

    func openConnection(_ worker: Int) {
        workers[worker].peer = nextPeer
        connections[nextPeer] = (worker, workers[worker].process)
        nextPeer += 1
    }

    /// What happens at the coordinator.
    enum Happening {
        case received(WorkerMessage, Peer, Origin)
        case unreadable(WireError, Peer)
        case disconnected(Peer)
        case timePassed(isBehind: Bool)
    }

    private func actions<Policy: RosterPolicy>(of happening: Happening, in policy: inout Policy) -> [ClusterAction] {
        switch happening {
        case .received(let message, let peer, let origin):
            let leases = file.leases
            return policy.received(message, from: peer, of: origin, at: now, granted: { leases[$0] })
        case .unreadable(let error, let peer): return policy.receivedUnreadable(error, from: peer, at: now)
        case .disconnected(let peer): return policy.disconnected(peer, at: now)
        case .timePassed(let isBehind): return policy.timePassed(at: now, isBehind: isBehind)
        }
    }

    /// One event at the coordinator, the actions that follow from it, and the next timer.
    func coordinate(_ happening: Happening) throws(SimulationFailure) {
        var todo: [ClusterAction]
        if var state = scheduler {
            scheduler = nil
            todo = actions(of: happening, in: &state)
            scheduler = state
            lastLease = state.lastLease
            if let broken = state.brokenInvariant() { throw failure("the scheduler contradicts itself: \(broken)") }
        } else if var state = stepper {
            stepper = nil
            todo = actions(of: happening, in: &state)
            stepper = state
        } else {
            return
        }
        var unreachable: [Peer] = []
        // A training continues with the next step once one is answered.
        repeat {
            if let stepper {
                lastLease = stepper.lastLease
                if let broken = stepper.brokenInvariant() {
                    throw failure("the scheduler of steps contradicts itself: \(broken)")
                }
            }
            for action in todo {
                try act(action, &unreachable)
                if !isCalm, happens(scenario.coordinatorDies) {
                    killCoordinator()
                    return
                }
            }
            todo = try stepOn()
        } while !todo.isEmpty
        for peer in unreachable where isCoordinatorUp { try coordinate(.disconnected(peer)) }
        setCoordinatorTimer()
    }

    private func setCoordinatorTimer() {
        guard let due = scheduler?.nextDeadline ?? stepper?.nextDeadline, due < .never, due != coordinatorTimer else {
            return
        }
        coordinatorTimer = due
        queue.insert(.coordinatorTimer(life: file.lives), at: due)
    }

    func coordinatorTimerFired(_ life: UInt32) throws(SimulationFailure) {
        guard isCoordinatorUp, life == file.lives, coordinatorTimer == now else { return }
        coordinatorTimer = nil
        try coordinate(.timePassed(isBehind: busyUntil > now))
    }

    private func act(_ action: ClusterAction, _ unreachable: inout [Peer]) throws(SimulationFailure) {
        switch action {
        case .welcome(let peer):
            var current = welcome
            current.life = file.lives
            reach(peer, .welcome(current), &unreachable)
        case .introduce(let peer): reach(peer, .introduce, &unreachable)
        case .grant(let peer, let lease, let job):
            report.leases += 1
            if let worker = connections[peer.id]?.worker { file.grant(lease, job.masks, to: workers[worker].id) }
            reach(peer, .lease(.init(run: welcome.run, lease: lease, job: job)), &unreachable)
        case .sendParameters(let peer): for part in parameterParts { reach(peer, .parameters(part), &unreachable) }
        case .sendPart(let peer, let offset):
            guard let part = parameterParts.first(where: { $0.offset == offset }) else {
                throw failure("parameters are sent that do not exist")
            }
            reach(peer, .parameters(part), &unreachable)
        case .record(let item, let worker):
            note("records mask \(item.mask)")
            mark(item.mask)
            if let broken = file.record(item, by: worker) { throw failure(broken) }
        case .retract(let indices):
            note("retracts masks \(indices)")
            if let broken = file.retract(indices) { throw failure(broken) }
        case .acknowledge(let peer, let lease):
            try checkRecorded(lease)
            reach(peer, .acknowledged(lease), &unreachable)
        case .cancel(let peer, let lease): reach(peer, .cancel(lease), &unreachable)
        case .sendChunk(let peer, let range):
            guard let blob = blobs[range.digest], range.offset + UInt64(range.length) <= UInt64(blob.count) else {
                throw failure("bytes are sent that do not exist")
            }
            let start = Int(range.offset)
            let bytes = Array(blob[start..<start + range.length])
            reach(peer, .chunk(.init(digest: range.digest, offset: range.offset, bytes: bytes)), &unreachable)
        case .heartbeat(let peer): reach(peer, .heartbeat(life: file.lives, lease: lastLease), &unreachable)
        case .dismiss(let peer, let reason):
            report.dismissals += 1
            reach(peer, .dismissed(reason: reason), &unreachable)
        case .finish(let peer): reach(peer, .finished, &unreachable)
        case .setAside(let mask, let reason): note("sets mask \(mask) aside: \(reason)")
        case .release(let lease, let reason): note("takes lease \(lease) back: \(reason)")
        case .remember(let occurrence): note("remembers: \(occurrence.what)")
        case .note(let text): note("says: \(text)")
        case .end(let outcome): note("ends: \(outcome)")
        }
    }

    private func reach(_ peer: Peer, _ message: CoordinatorMessage, _ unreachable: inout [Peer]) {
        if connections[peer.id] != nil {
            sendToWorker(message, peer)
        } else if !unreachable.contains(peer) {
            unreachable.append(peer)
        }
    }

    /// Whatever a worker may forget must be in the run file, unless it was verified, wrong or obsolete.
    private func checkRecorded(_ lease: LeaseID) throws(SimulationFailure) {
        guard let answer, answer.lease == lease, scenario.policy.verifiedShare == 0, answer.run == welcome.run else {
            return
        }
        for item in answer.evaluations where item.mask < scenario.masks && item.evaluation == truth(item.mask) {
            guard file.evaluations[item.mask] == nil, scenario.rogues.isEmpty else { continue }
            throw failure("lease \(lease) is acknowledged before mask \(item.mask) is recorded")
        }
    }
}
