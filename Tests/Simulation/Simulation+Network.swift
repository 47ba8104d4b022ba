import Shared
import Worker

@testable import Coordinator

extension Simulation {
    /// Sends a frame over the simulated network: this makes zero, one or two events.
    private func transmit(_ frame: [UInt8], isCut: Bool, _ event: ([UInt8], Bool) -> Event) {
        report.messages += 1
        mark(frame.count)
        guard !isCut, isCalm || !happens(scenario.dropped) else {
            report.lost += 1
            return
        }
        let copies = !isCalm && happens(scenario.repeated) ? 2 : 1
        for _ in 0..<copies {
            var bytes = frame
            var intact = true
            if !isCalm, happens(scenario.corrupted) {
                damage(&bytes)
                intact = bytes == frame
                report.damaged += 1
            }
            var delay = isCalm ? 2 : draw(0...scenario.delayMillisecondsMax)
            if !isCalm, happens(scenario.late) { delay += draw(0...6000) }
            queue.insert(event(bytes, intact), at: now + delay)
        }
    }

    /// Changes up to three bits, which CRC-32 always detects at these lengths, or truncates or extends the frame.
    private func damage(_ frame: inout [UInt8]) {
        // A rogue's empty frame can only be made longer.
        switch frame.isEmpty ? 1 : draw(0...9) {
        case 0: frame = Array(frame.prefix(Int(draw(0...Int64(frame.count) - 1))))
        case 1: frame.append(UInt8(draw(0...255)))
        default:
            for _ in 0..<draw(1...3) {
                frame[Int(draw(0...Int64(frame.count) - 1))] ^= 1 << UInt8(draw(0...7))
            }
        }
    }

    // MARK: - To the coordinator

    func sendToCoordinator(_ message: WorkerMessage, from worker: Int) {
        guard let peer = workers[worker].peer else { return }
        var frame = message.encoded()
        if scenario.rogues.contains(worker), happens(0.3) { frame = rogueFrame(message, from: worker) }
        note("worker \(worker) → \(describe(message))")
        transmit(frame, isCut: workers[worker].upCutUntil > now) {
            .toCoordinator(from: worker, peer: peer, frame: $0, intact: $1)
        }
    }

    func deliverToCoordinator(
        from worker: Int, _ peer: UInt64, _ frame: [UInt8], _ intact: Bool
    ) throws(SimulationFailure) {
        guard isCoordinatorUp else {
            // The sender's socket keeps it until it is connected again, or it was lost with the old connection.
            if let current = workers[worker].peer, !isCalm, happens(0.5) {
                let event = Event.toCoordinator(from: worker, peer: current, frame: frame, intact: intact)
                queue.insert(event, at: now + 500)
            }
            return
        }
        // A slow coordinator takes one message after the other.
        if !isCalm, scenario.turnMilliseconds > 0 {
            guard busyUntil <= now else {
                let event = Event.toCoordinator(from: worker, peer: peer, frame: frame, intact: intact)
                queue.insert(event, at: busyUntil)
                return
            }
            busyUntil = now + scenario.turnMilliseconds
        }
        // A connection of the coordinator's earlier life is gone with it.
        guard connections[peer] != nil else { return }
        let result = Result { () throws(WireError) in try WorkerMessage(decoding: frame) }
        switch result {
        case .success(let message):
            guard intact || scenario.rogues.contains(worker) else { throw failure("a damaged message was accepted") }
            heardAt[Peer(id: peer)] = now
            if case .answer(let answer) = message { self.answer = answer }
            try coordinate(.received(message, Peer(id: peer), scenario.origin(of: worker)))
            answer = nil
        case .failure(let error):
            guard !intact || scenario.rogues.contains(worker) else {
                throw failure("a whole message was refused: \(error)")
            }
            try coordinate(.unreadable(error, Peer(id: peer)))
        }
    }

    // MARK: - To a worker

    func sendToWorker(_ message: CoordinatorMessage, _ peer: Peer) {
        guard let connection = connections[peer.id] else { return }
        note("coordinator → worker \(connection.worker): \(describe(message))")
        transmit(message.encoded(), isCut: workers[connection.worker].downCutUntil > now) {
            .toWorker(connection.worker, peer: peer.id, frame: $0, intact: $1)
        }
    }

    func deliverToWorker(
        _ worker: Int, _ peer: UInt64, _ frame: [UInt8], _ intact: Bool, _ event: Event
    ) throws(SimulationFailure) {
        guard workers[worker].peer == peer, let process = connections[peer]?.process else { return }
        let result = Result { () throws(WireError) in try CoordinatorMessage(decoding: frame) }
        switch result {
        case .success(let message):
            guard intact else { throw failure("a damaged message was accepted") }
            try withWorker(worker, process, event) { state, now in state.received(message, at: now) }
        case .failure(let error):
            guard !intact else { throw failure("a whole message was refused: \(error)") }
            try withWorker(worker, process, event) { state, now in state.receivedUnreadable(error, at: now) }
        }
    }

    // MARK: - Rogues

    /// Messages that no honest worker would send.
    private func rogueFrame(_ message: WorkerMessage, from worker: Int) -> [UInt8] {
        let lease = LeaseID(life: file.lives, number: UInt32(draw(0...200)))
        func losses(_ run: RunID, _ items: [MaskEvaluation]) -> [UInt8] {
            WorkerMessage.answer(
                WorkerMessage.Answer(run: run, lease: lease, computeMicroseconds: 0, evaluations: items)
            ).encoded()
        }
        let mask = Int(draw(0...Int64(scenario.masks) - 1))
        if training != nil, happens(0.5) { return rogueStepFrame(lease) }
        switch draw(0...8) {
        case 8:
            // An answer to somebody's lease of another life, or to none.
            let stolen = LeaseID(life: UInt32(draw(0...Int64(file.lives) + 1)), number: UInt32(draw(0...50)))
            let lie = Evaluation(lossSum: 7, correct: 0, images: images)
            return WorkerMessage.answer(
                .init(
                    run: welcome.run, lease: stolen, computeMicroseconds: 1,
                    evaluations: [MaskEvaluation(mask: mask, evaluation: lie)])
            ).encoded()
        case 0: return (0..<draw(0...100)).map { _ in UInt8(draw(0...255)) }
        case 1: return losses(RunID(high: 1, low: 2), [MaskEvaluation(mask: mask, evaluation: truth(mask))])
        case 2:
            let wrong = Evaluation(lossSum: 1, correct: 0, images: images + 1)
            return losses(welcome.run, [MaskEvaluation(mask: mask, evaluation: wrong)])
        case 3:
            return losses(welcome.run, [MaskEvaluation(mask: scenario.masks + 5, evaluation: truth(mask))])
        case 4:
            let range = WorkerMessage.BlobRange(digest: welcome.blobs[0].digest, offset: 1 << 33, length: 9)
            return WorkerMessage.want(range).encoded()
        case 5: return WorkerMessage.ready(RunID(high: 3, low: 4)).encoded()
        case 6:
            let item = MaskEvaluation(mask: mask, evaluation: truth(mask))
            return losses(welcome.run, [item, item])
        default:
            var frame = message.encoded()
            damage(&frame)
            return frame
        }
    }

    private func describe(_ message: WorkerMessage) -> String {
        switch message {
        case .answer(let answer): "answer to \(answer.lease), masks \(answer.evaluations.map(\.mask))"
        case .part(let part): "part \(part.offset)+\(part.floats.count) of \(part.subject)"
        case .wantParameters(let version, let offset): "want parameters \(version), \(offset)"
        case .failed(let failure): "failed \(failure.lease), mask \(failure.mask ?? -1)"
        case .heartbeat(let held, let seen): "heartbeat \(held), seen \(seen)"
        case .goodbye(let held): "goodbye \(held)"
        case .hello: "hello"
        case .want(let range): "want \(range.offset)+\(range.length)"
        case .ready: "ready"
        }
    }

    private func describe(_ message: CoordinatorMessage) -> String {
        switch message {
        case .lease(let lease): "lease \(lease.lease), \(lease.job)"
        case .parameters(let part): "parameters \(part.subject), \(part.offset)+\(part.floats.count)"
        case .chunk(let chunk): "chunk \(chunk.offset)+\(chunk.bytes.count)"
        case .welcome: "welcome"
        default: "\(message)"
        }
    }
}
