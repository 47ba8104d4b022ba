import Foundation
import Shared

/// One life of a coordinator: owns the socket and the run file, asks the scheduler what to do, and does it.
///
/// Every turn takes what has arrived, commits what is to be recorded, and only then sends the answers, so that nothing
/// is acknowledged that could be lost.
final class RunLoop {
    /// How a life ended.
    enum Ending: Equatable {
        /// The run is over.
        case over(Scheduler.Outcome)
        /// The user interrupted it.
        case interrupted
    }

    /// Who wants to know how the run goes; called on the loop's thread, so quickly.
    struct Observer {
        /// Evaluations were committed.
        var recorded: ([MaskEvaluation]) -> Void = { _ in }
        /// Called about once a second.
        var ticked: (Scheduler.Snapshot) -> Void = { _ in }
        /// Asked once a second; true ends the run before all masks are recorded.
        var hasEnough: () -> Bool = { false }
    }

    /// Messages of one turn; then what they changed is committed and answered.
    private static let messagesPerTurn = 1024
    /// Milliseconds between two looks at the local workers and the progress.
    private static let tickMilliseconds: Int64 = 1000
    /// Milliseconds between two times that the run file's log is emptied into the file: what a copy of the file alone
    /// misses when the coordinator is killed.
    private static let logMilliseconds: Int64 = 5000
    /// The longest wait, so that stragglers are noticed.
    private static let waitMillisecondsMax: Int64 = 250
    /// Workers' numbers that are kept by peers that are gone.
    private static let numbersKept = 1000
    /// Ticks for which a referee is wanted until it is started.
    private static let refereeAfterTicks = 5

    private let file: RunFile
    private var listener: Listener
    private var memory = MemoryGuard()
    private let materials: RunMaterials
    private let observer: Observer
    private let localWorkers: LocalWorkers?
    /// Starts a worker of our own; nil where that was done or cannot be.
    private var startReferee: (() throws -> LocalWorkers)?
    private var referee: LocalWorkers?
    private var ticksWithoutReferee = 0
    private let life: UInt32
    private var scheduler: Scheduler
    private var masks: MaskSource
    private let welcome: [UInt8]

    private var numbers: [WorkerID: Int] = [:]
    private var numbersByPeer: [Peer: Int] = [:]
    private var outbox: [(peer: Peer, message: [UInt8])] = []
    private var recorded: [MaskEvaluation] = []
    private var now = Moment.now()
    private var date = Date()
    private var outcome: Scheduler.Outcome?

    /// Prepares a life: what the run file has is not evaluated again. Throws a ``Failure``.
    init(
        _ file: RunFile, at listener: consuming Listener, serving materials: RunMaterials, policy: SchedulingPolicy,
        localWorkers: LocalWorkers?, startReferee: (() throws -> LocalWorkers)? = nil, observer: Observer
    ) throws {
        guard let run = file.description.runID else {
            throw Failure(.badInput, "the run file \(file.path) is damaged: its run has no identity")
        }
        self.file = file
        self.listener = listener
        self.materials = materials
        self.observer = observer
        self.localWorkers = localWorkers
        self.startReferee = startReferee
        life = try file.beginLife(at: Date())
        let ensemble = file.description.ensemble
        let welcome = CoordinatorMessage.Welcome(
            run: run, life: life, settings: file.description.settings, network: materials.network,
            images: materials.images,
            calibrationImages: materials.calibrationImages, filters: ensemble.filterCount, masks: ensemble.count)
        scheduler = Scheduler(welcome: welcome, policy: policy, at: now)
        self.welcome = CoordinatorMessage.welcome(welcome).encoded()
        scheduler.expectsReferee = startReferee != nil
        masks = MaskSource(ensemble)
        let identities = try file.workerIdentities()
        try file.forEachEvaluation {
            let known = identities[$0.worker]
            scheduler.restore(mask: $0.mask, by: known?.worker, from: known?.origin)
        }
    }

    /// Gives back the memory that peers make us hold: all connections are closed, and honest workers come back.
    private func dropConnections() throws {
        notes.line(MemoryGuard.complaint)
        try listener.restart()
        outbox = []
        numbersByPeer = [:]
        memory.settle()
    }

    /// Starts a worker of our own that judges what the others disagree about, or what one of them alone evaluated, once
    /// that has been missing for a while.
    private func tendReferee() {
        if let referee, !referee.tend() { scheduler.expectsReferee = false }
        ticksWithoutReferee = scheduler.wantsReferee ? ticksWithoutReferee + 1 : 0
        let isDue = ticksWithoutReferee >= Self.refereeAfterTicks || scheduler.hasOnlyOpinionsLeft
        guard referee == nil, let start = startReferee, scheduler.wantsReferee, isDue else { return }
        startReferee = nil
        do {
            referee = try start()
            Log.shared.line("a worker is started here, to verify what no other worker can")
        } catch {
            scheduler.expectsReferee = false
            Log.shared.line("no worker can verify some masks, and none can be started here: \(error)")
        }
    }

    /// Turns until the run is over or the user interrupts it. Throws a ``Failure``; what was committed before is kept.
    func run(signals: borrowing SignalQueue) throws -> Ending {
        defer { referee?.stop() }
        var nextTick = now
        var logDue = now + Self.logMilliseconds
        while true {
            // The socket may become another one.
            var poller = Poller()
            let messages = poller.watch(listener.socket)
            let interrupts = poller.watch(descriptor: signals.descriptor)
            let due = min(scheduler.nextDeadline - now, nextTick - now, Self.waitMillisecondsMax)
            try poller.wait(milliseconds: Int(max(0, due)))
            now = Moment.now()
            date = Date()
            if poller.isReadable(interrupts), signals.next() != nil {
                try file.endLife(life, at: date, "interrupted")
                return .interrupted
            }
            let isBehind = poller.isReadable(messages) ? try !receive() : false
            if scheduler.nextDeadline <= now || due == Self.waitMillisecondsMax {
                try perform(scheduler.timePassed(at: now, isBehind: isBehind))
            }
            if nextTick <= now {
                nextTick = now + Self.tickMilliseconds
                try tick()
            }
            if memory.isExceeded() { try dropConnections() }
            try settle()
            if logDue <= now {
                logDue = now + Self.logMilliseconds
                file.shortenLog()
            }
            if let outcome {
                try file.endLife(life, at: date, "\(outcome)")
                observer.ticked(scheduler.snapshot(at: now))
                return .over(outcome)
            }
        }
    }

    private func tick() throws {
        guard !file.wasMoved else {
            throw Failure(
                .unavailable,
                "the run file \(file.path) was moved or deleted while the run goes on; put it back, or go on with "
                    + "'winnow-coordinator resume --run' and its new name")
        }
        tendReferee()
        if numbersByPeer.count > 2 * scheduler.connectedCount + Self.numbersKept {
            let connected = Set(scheduler.connectedPeers)
            numbersByPeer = numbersByPeer.filter { connected.contains($0.key) }
        }
        if let localWorkers, !localWorkers.tend(), scheduler.connectedCount == 0 {
            throw Failure(
                .unavailable,
                "no local worker stays alive (see the lines above); when that is mended, go on with "
                    + "'\(RunFile.resumeCommand(file.path))'")
        }
        let snapshot = scheduler.snapshot(at: now)
        try file.setStandstill(snapshot.whyIdle)
        observer.ticked(snapshot)
        if observer.hasEnough() { try perform(scheduler.stopped(at: now)) }
    }

    // MARK: Receiving

    /// Takes what has arrived; false where more of it waits than one turn takes.
    private func receive() throws -> Bool {
        for _ in 0..<Self.messagesPerTurn {
            guard let message = try listener.socket.receive() else { return true }
            // A peer that chose its own routing id is none of ours.
            guard message.frames.count == 2, let peer = Peer(routingID: message.frames[0]) else { continue }
            do {
                try take(WorkerMessage(decoding: message.frames[1]), from: peer, of: listener.origin(of: message))
            } catch let error as WireError {
                try perform(scheduler.receivedUnreadable(error, from: peer, at: now))
            }
        }
        return false
    }

    private func take(_ message: WorkerMessage, from peer: Peer, of origin: Origin) throws {
        var computeMicroseconds: UInt64 = 0
        if case .losses(let losses) = message, !losses.evaluations.isEmpty {
            computeMicroseconds = losses.computeMicroseconds / UInt64(losses.evaluations.count)
        }
        let actions = try scheduler.received(
            message, from: peer, of: origin, at: now, granted: { try file.grantedLease($0) })
        if case .hello(let hello) = message, actions.contains(.welcome(peer)) {
            let number = try file.register(hello, from: origin, at: date)
            numbers[hello.worker] = number
            numbersByPeer[peer] = number
        }
        try perform(actions, computeMicroseconds: computeMicroseconds)
    }

    // MARK: Acting

    private func perform(_ actions: [Scheduler.Action], computeMicroseconds: UInt64 = 0) throws {
        for action in actions {
            switch action {
            case .welcome(let peer): outbox.append((peer, welcome))
            case .introduce(let peer): send(.introduce, to: peer)
            case .grant(let peer, let lease, let indices): try grant(indices, lease, to: peer)
            case .record(let item, let worker):
                recorded.append(item)
                try file.record(
                    RecordedEvaluation(
                        mask: item.mask, evaluation: item.evaluation, worker: numbers[worker] ?? 0, recorded: date,
                        computeMicroseconds: computeMicroseconds))
            case .retract(let masks): try file.discard(masks: Array(masks))
            case .acknowledge(let peer, let lease):
                try file.endLease(lease, "answered", at: date)
                send(.acknowledged(lease), to: peer)
            case .cancel(let peer, let lease):
                try file.endLease(lease, "cancelled", at: date)
                send(.cancel(lease), to: peer)
            case .sendChunk(let peer, let range):
                if let chunk = materials.store.chunk(range) { send(.chunk(chunk), to: peer) }
            case .heartbeat(let peer): send(.heartbeat(life: life, lease: scheduler.lastLease), to: peer)
            case .dismiss(let peer, let reason):
                if let number = numbersByPeer[peer] { try file.dismiss(worker: number, reason) }
                send(.dismissed(reason: reason), to: peer)
            case .finish(let peer): send(.finished, to: peer)
            case .setAside(let mask, let reason):
                try file.setAside(mask: mask, reason)
                Log.shared.line("mask \(mask) is set aside: \(reason)")
            case .release(let lease, let reason): try file.endLease(lease, "taken back: \(reason)", at: date)
            case .remember(let occurrence):
                try file.remember(occurrence, worker: occurrence.worker.flatMap { numbers[$0] }, life: life, at: date)
            case .note(let text): notes.line(text)
            case .end(let outcome): self.outcome = outcome
            }
        }
    }

    /// What the scheduler tells people; a peer may cause much of it.
    private let notes = BoundedLog(perMinute: 200)

    private func grant(_ indices: MaskRuns, _ lease: LeaseID, to peer: Peer) throws {
        try file.recordLease(
            lease, worker: numbersByPeer[peer] ?? 0, masks: indices, at: date)
        guard let run = file.description.runID else { return }
        send(.lease(CoordinatorMessage.Lease(run: run, lease: lease, masks: masks.masks(indices))), to: peer)
    }

    private func send(_ message: CoordinatorMessage, to peer: Peer) { outbox.append((peer, message.encoded())) }

    /// Commits what was recorded, then sends what waits. A peer that turns out to be gone may change what there is to
    /// do, so it repeats until nothing is left.
    private func settle() throws {
        repeat {
            try file.commit()
            if !recorded.isEmpty {
                observer.recorded(recorded)
                recorded.removeAll(keepingCapacity: true)
            }
            let messages = outbox
            outbox.removeAll(keepingCapacity: true)
            for (peer, message) in messages {
                // A full queue belongs to a peer that does not read; what it misses is made good by its heartbeats.
                guard try listener.socket.send(message, to: peer.routingID) == .unreachable else { continue }
                numbersByPeer[peer] = nil
                try perform(scheduler.disconnected(peer, at: now))
            }
        } while !outbox.isEmpty
    }
}

extension Peer {
    /// Bytes of a routing id that the ROUTER socket draws: a zero and a 32-bit number.
    private static let routingIDBytes = 5

    /// A peer from the first frame of its message; nil where the socket did not draw it.
    init?(routingID: [UInt8]) {
        guard routingID.count == Self.routingIDBytes, routingID[0] == 0 else { return nil }
        self.init(id: routingID.reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The first frame of a message to it.
    var routingID: [UInt8] { (0..<Self.routingIDBytes).reversed().map { UInt8(truncatingIfNeeded: id >> (8 * $0)) } }
}
