import Shared

@testable import Worker

extension Simulation {
    func startWorker(_ worker: Int) throws(SimulationFailure) {
        guard workers[worker].protocolState == nil, workers[worker].ending == nil else { return }
        workers[worker].process += 1
        workers[worker].hangsUntil = now
        workers[worker].computationHangs = false
        workers[worker].timer = nil
        workers[worker].peer = nil
        workers[worker].loaded = nil
        workers[worker].rows = [:]
        note("worker \(worker) starts")
        let hello = WorkerMessage.Hello(
            worker: workers[worker].id, incarnation: UInt64(workers[worker].process), host: "host\(worker)",
            threads: 1 + worker % 3, instructionSet: "plain", programVersion: "1",
            imagesPerSecond: worker % 2 == 0 ? 0 : 1000 / Double(workers[worker].maskMilliseconds))
        workers[worker].protocolState = WorkerProtocol(
            hello: hello, graceMilliseconds: draw(0...5000), partBytes: 64, partFloats: SimulatedTraining.partFloats,
            at: now)
        setWorkerTimer(worker)
    }

    /// The process is gone at once; the coordinator learns of it only if its host is alive.
    func killWorker(_ worker: Int, restartIn delay: Int64) {
        guard workers[worker].protocolState != nil else { return }
        note("worker \(worker) dies")
        mark(worker)
        report.workerDeaths += 1
        endProcess(worker, isHeard: happens(0.5))
        queue.insert(.startWorker(worker), at: now + delay)
    }

    private func endProcess(_ worker: Int, isHeard: Bool) {
        workers[worker].protocolState = nil
        if isHeard { workers[worker].peer.map { connections[$0] = nil } }
        workers[worker].peer = nil
        workers[worker].timer = nil
    }

    /// One event at a worker, the actions that follow from it, and the next timer; later if the process hangs.
    func withWorker(
        _ worker: Int, _ process: Int, _ event: Event,
        _ body: (inout WorkerProtocol, Moment) -> [WorkerProtocol.Action]
    ) throws(SimulationFailure) {
        guard workers[worker].process == process, var state = workers[worker].protocolState else { return }
        if workers[worker].hangsUntil > now {
            queue.insert(event, at: workers[worker].hangsUntil)
            return
        }
        let actions = body(&state, now)
        guard workers[worker].protocolState != nil else { return }
        workers[worker].protocolState = state
        if let broken = state.brokenInvariant() { throw failure("worker \(worker) contradicts itself: \(broken)") }
        for action in actions { try act(action, worker, process) }
        setWorkerTimer(worker)
    }

    private func setWorkerTimer(_ worker: Int) {
        guard let due = workers[worker].protocolState?.nextDeadline, due < .never else { return }
        if let timer = workers[worker].timer, timer <= due { return }
        workers[worker].timer = due
        queue.insert(.workerTimer(worker, process: workers[worker].process), at: due)
    }

    private func act(_ action: WorkerProtocol.Action, _ worker: Int, _ process: Int) throws(SimulationFailure) {
        switch action {
        case .connect: openConnection(worker)
        case .disconnect:
            workers[worker].peer.map { connections[$0] = nil }
            workers[worker].peer = nil
        case .send(let message): sendToCoordinator(message, from: worker)
        case .locate(let blob): queue.insert(.located(worker, process: process, blob), at: now + 1)
        case .store(let chunk): try store(chunk, worker)
        case .check(let blob): queue.insert(.checked(worker, process: process, blob), at: now + 1)
        case .prepare(let welcome):
            for blob in welcome.blobs where workers[worker].cache[blob.digest] != blobs[blob.digest] {
                throw failure("worker \(worker) prepares without \(blob.digest)")
            }
            queue.insert(.prepared(worker, process: process, welcome.run), at: now + draw(0...500))
        case .load(let version, let row):
            workers[worker].loaded = (version, row)
            try checkLoaded(worker)
        case .compute(let lease):
            if let version = lease.job.version {
                guard let loaded = workers[worker].loaded, loaded.version == version else {
                    throw failure("worker \(worker) computes \(lease.lease) without version \(version)")
                }
                workers[worker].rows[lease.lease] = loaded.row
            }
            compute(lease, worker, process)
        case .abandon(let lease):
            guard !workers[worker].computationHangs, !scenario.hung.contains(worker) else { break }
            queue.insert(.abandoned(worker, process: process, lease), at: now + draw(0...50))
        case .note(let text): note("worker \(worker) says: \(text)")
        case .stop(let ending): try stop(worker, ending)
        }
    }

    private func store(_ chunk: CoordinatorMessage.Chunk, _ worker: Int) throws(SimulationFailure) {
        var stored = workers[worker].cache[chunk.digest] ?? []
        guard chunk.offset <= stored.count else { throw failure("worker \(worker) stores with a hole") }
        stored.replaceSubrange(Int(chunk.offset)..<stored.count, with: chunk.bytes)
        // A disk may lie, too.
        if !isCalm, happens(scenario.corrupted) { stored[stored.count - 1] ^= 1 }
        workers[worker].cache[chunk.digest] = stored
    }

    private func compute(_ lease: CoordinatorMessage.Lease, _ worker: Int, _ process: Int) {
        guard !scenario.hung.contains(worker) else { return }
        var milliseconds = workers[worker].maskMilliseconds * Int64(max(lease.job.masks.count, 1)) + 1
        if !isCalm, happens(scenario.late) { milliseconds *= 10 }
        if !isCalm, happens(scenario.computationHangs) {
            note("worker \(worker) computes \(lease.lease) for ever")
            workers[worker].computationHangs = true
            return
        }
        queue.insert(.computed(worker, process: process, lease, milliseconds: milliseconds), at: now + milliseconds)
    }

    func finishComputing(
        _ worker: Int, _ process: Int, _ lease: CoordinatorMessage.Lease, _ milliseconds: Int64, _ event: Event
    ) throws(SimulationFailure) {
        guard workers[worker].process == process else { return }
        let isComputing = workers[worker].protocolState?.computing.contains(lease) ?? false
        if lease.job.masks.contains(where: scenario.poison.contains), workers[worker].hangsUntil <= now, isComputing {
            killWorker(worker, restartIn: draw(100...2000))
            return
        }
        if scenario.crashers.contains(worker), isComputing, happens(worker % 2 == 0 ? 1 : 0.7) {
            killWorker(worker, restartIn: draw(0...300))
            return
        }
        if case .step(let step, _) = lease.job {
            try finishStep(step, lease, worker, process, milliseconds, event)
            return
        }
        if scenario.empty.contains(worker) {
            try withWorker(worker, process, event) { state, now in
                state.computed(lease.lease, evaluations: [], microseconds: 1, at: now)
            }
            return
        }
        var evaluations: [MaskEvaluation] = []
        var failures: [(mask: Int, reason: String)] = []
        for mask in lease.job.masks {
            if scenario.failing.contains(mask) {
                failures.append((mask, "its loss is not a number"))
            } else {
                var evaluation = truth(mask)
                if scenario.liars.contains(worker), mask % 3 != 0 { evaluation.lossSum ^= 1 }
                evaluations.append(MaskEvaluation(mask: mask, evaluation: evaluation))
            }
        }
        try withWorker(worker, process, event) { state, now in
            state.computed(
                lease.lease, evaluations: evaluations, failures: failures, microseconds: UInt64(milliseconds) * 1000,
                at: now)
        }
    }

    private func stop(_ worker: Int, _ ending: WorkerProtocol.Ending) throws(SimulationFailure) {
        note("worker \(worker) stops: \(ending)")
        // Its last messages are still in transit, so the connection outlives the process.
        workers[worker].protocolState = nil
        workers[worker].timer = nil
        workers[worker].peer = nil
        switch ending {
        case .finished: workers[worker].ending = ending
        case .left: queue.insert(.startWorker(worker), at: now + draw(0...3000))
        case .refused(let reason):
            // Of liars and rogues; others would be refused without a reason.
            guard !isHonest(worker) else { throw failure("honest worker \(worker) was refused: \(reason)") }
            workers[worker].ending = ending
        case .failed(let reason):
            // A disk that lies may do so three times; its owner starts the worker again.
            guard scenario.corrupted > 0 else { throw failure("worker \(worker) failed: \(reason)") }
            queue.insert(.startWorker(worker), at: now + draw(0...3000))
        }
    }

    // MARK: - Faults

    func faultLater() {
        guard let mean = scenario.faultEveryMilliseconds else { return }
        queue.insert(.fault, at: now + draw(1...2 * mean))
    }

    /// Something goes wrong with a process or a line.
    func strike() throws(SimulationFailure) {
        guard !isCalm else { return }
        let worker = Int(draw(0...Int64(workers.count) - 1))
        let process = workers[worker].process
        switch draw(0...9) {
        case 0, 1: killWorker(worker, restartIn: draw(0...10_000))
        case 2:
            note("worker \(worker) hangs")
            workers[worker].hangsUntil = now + draw(1...15_000)
        case 3: workers[worker].upCutUntil = now + draw(1...10_000)
        case 4: workers[worker].downCutUntil = now + draw(1...10_000)
        case 5:
            workers[worker].upCutUntil = now + draw(1...10_000)
            workers[worker].downCutUntil = workers[worker].upCutUntil
        case 6: killCoordinator()
        case 7:
            guard workers[worker].hangsUntil <= now else { break }
            note("worker \(worker) is asked to stop")
            try withWorker(worker, process, .fault) { state, now in state.stopRequested(at: now) }
        case 8:
            killWorker(worker, restartIn: draw(0...5000))
            workers[worker].cache = [:]
        default:
            // The line breaks and the socket reconnects by itself.
            if let peer = workers[worker].peer {
                connections[peer] = nil
                openConnection(worker)
            }
        }
        faultLater()
    }

    /// The faults are over: dead and hung workers are restarted.
    func calmDown() throws(SimulationFailure) {
        isCalm = true
        note("calm")
        for worker in workers.indices {
            workers[worker].upCutUntil = now
            workers[worker].downCutUntil = now
            workers[worker].hangsUntil = now
            if workers[worker].computationHangs { killWorker(worker, restartIn: 0) }
            queue.insert(.startWorker(worker), at: now + draw(0...1000))
        }
        if !isCoordinatorUp { queue.insert(.startCoordinator, at: now) }
    }
}
