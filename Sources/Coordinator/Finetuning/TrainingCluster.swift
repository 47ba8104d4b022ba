import Foundation
import Shared

/// Computes the tasks of a training on workers: owns the socket, asks ``TaskAssignment`` who computes what, and puts
/// the answers together.
final class TrainingCluster {
    /// What comes of a task.
    enum Answer: Sendable, Equatable {
        case gradient(ShardGradient)
        case evaluation(Evaluation)
    }

    /// The parameters that tasks are computed with.
    struct Parameters {
        var version: UInt64
        var trained: [Float]
        var statistics: [Float]
    }

    private static let heartbeatMilliseconds: Int64 = 1000
    /// How long nothing may happen before the user is told why.
    private static let quietMilliseconds: Int64 = 15_000
    /// The wait while messages wait for room in a queue.
    private static let fullMilliseconds = 5
    /// How long a worker may not read what waits for it.
    private static let unreadMilliseconds: Int64 = 10_000
    /// Connections at one time.
    private static let connectionsMax = 10_000

    /// What is known of a connection.
    private struct Connection {
        var threads = 1
        var host = ""
        /// The version of the parameters that were sent last.
        var version: UInt64?
        /// A gradient of which some parts have come.
        var assembly: FloatsAssembly?
        /// Messages that found no room, and since when none has.
        var outbox: [[UInt8]] = []
        var fullSince: Moment?
        /// Where it comes from.
        var origin = Origin(key: nil, address: "")
    }

    private var listener: Listener
    private var memory = MemoryGuard()
    private let materials: TrainingMaterials
    private let layout: ParameterLayout
    private let localWorkers: LocalWorkers?
    private let welcome: [UInt8]
    private let notes = BoundedLog(perMinute: 60)
    private var connections: [Peer: Connection] = [:]
    private var assignment = TaskAssignment()
    private var tasksBegun: UInt64 = 0
    private var parts: (version: UInt64, messages: [[UInt8]]) = (0, [])
    /// The present step's tasks and the answers to them.
    private var works: [UInt64: TrainingTask.Work] = [:]
    private var answers: [UInt64: Answer] = [:]
    private var now = Moment.now()
    private var nextBeat = Moment.now()
    private var lastProgress = Moment.now()

    /// Workers that compute.
    var workerCount: Int { assignment.workerCount }
    /// Their threads.
    var threadCount: Int { assignment.threadCount }

    init(
        at listener: consuming Listener, serving materials: TrainingMaterials, layout: ParameterLayout,
        localWorkers: LocalWorkers?
    ) {
        self.listener = listener
        self.materials = materials
        self.layout = layout
        self.localWorkers = localWorkers
        welcome = TrainingOrder.welcome(materials.welcome).encoded()
    }

    /// Computes tasks and returns their answers in the same order, whoever computed them. Throws an `.interrupted`
    /// ``Failure`` where a signal comes.
    func compute(
        _ works: [TrainingTask.Work], with parameters: Parameters, signals: borrowing SignalQueue
    ) throws -> [Answer] {
        if parts.version != parameters.version {
            let row = FloatsPart.parts(of: parameters.trained + parameters.statistics, subject: parameters.version)
            parts = (parameters.version, row.map { TrainingOrder.parameters($0).encoded() })
        }
        let tasks = works.enumerated().map { index, work in
            TrainingTask(number: tasksBegun + UInt64(index), version: parameters.version, work: work)
        }
        tasksBegun += UInt64(works.count)
        self.works = Dictionary(uniqueKeysWithValues: tasks.map { ($0.number, $0.work) })
        answers = [:]
        lastProgress = Moment.now()
        assignment.begin(tasks)

        while true {
            // The socket may become another one.
            var poller = Poller()
            let messages = poller.watch(listener.socket)
            let interrupts = poller.watch(descriptor: signals.descriptor)
            try distribute()
            if assignment.isDone { break }
            let isFull = connections.values.contains { !$0.outbox.isEmpty }
            try poller.wait(milliseconds: isFull ? Self.fullMilliseconds : Int(Self.heartbeatMilliseconds / 4))
            now = Moment.now()
            if poller.isReadable(interrupts), signals.next() != nil { throw Failure(.interrupted, "interrupted") }
            if poller.isReadable(messages) { try receive() }
            if nextBeat <= now { try beat() }
            if memory.isExceeded() { try dropConnections() }
        }
        return tasks.compactMap { answers[$0.number] }
    }

    /// Tells the workers that the training is over.
    func finish() throws {
        for peer in connections.keys { try send(CoordinatorMessage.finished.encoded(), to: peer) }
    }

    // MARK: Sending

    private func distribute() throws {
        for peer in connections.keys { try flush(peer) }
        for (peer, task) in assignment.assign(at: now) {
            if connections[peer]?.version != task.version {
                connections[peer]?.version = task.version
                for message in parts.messages { try send(message, to: peer) }
            }
            try send(TrainingOrder.task(task).encoded(), to: peer)
        }
    }

    private func send(_ message: [UInt8], to peer: Peer) throws {
        connections[peer]?.outbox.append(message)
        try flush(peer)
    }

    /// Sends what waits. Whoever does not read it for long is given up; until then it gets nothing more.
    private func flush(_ peer: Peer) throws {
        guard let waiting = connections[peer]?.outbox, !waiting.isEmpty else { return }
        defer {
            let isFull = connections[peer]?.outbox.isEmpty == false
            assignment.workerBlocked(peer, isFull)
            if !isFull { connections[peer]?.fullSince = nil }
        }
        var sent = 0
        loop: for message in waiting {
            switch try listener.socket.send(message, to: peer.routingID) {
            case .queued: sent += 1
            case .full: break loop
            case .unreachable:
                lose(peer, "is gone")
                return
            }
        }
        connections[peer]?.outbox.removeFirst(sent)
        guard sent == 0, let since = connections[peer]?.fullSince else {
            connections[peer]?.fullSince = now
            return
        }
        if now - since > Self.unreadMilliseconds { lose(peer, "does not read what it is sent") }
    }

    /// Whether a peer reads what it is sent; what it asks for meanwhile, it may ask for again.
    private func reads(_ peer: Peer) -> Bool { connections[peer]?.outbox.isEmpty ?? false }

    private func lose(_ peer: Peer, _ reason: String) {
        guard let connection = connections.removeValue(forKey: peer) else { return }
        assignment.workerLeft(peer)
        notes.line("the worker on \(connection.host) \(reason); others take over its share")
    }

    /// Gives back the memory that peers make us hold: all connections are closed, and honest workers come back.
    private func dropConnections() throws {
        notes.line(MemoryGuard.complaint)
        try listener.restart()
        for peer in connections.keys { assignment.workerLeft(peer) }
        connections = [:]
        memory.settle()
    }

    private func beat() throws {
        nextBeat = now + Self.heartbeatMilliseconds
        for peer in assignment.silentWorkers(at: now) { lose(peer, "is silent") }
        for peer in connections.keys where reads(peer) {
            try send(CoordinatorMessage.heartbeat(life: 1, lease: 0).encoded(), to: peer)
        }
        if let localWorkers, !localWorkers.tend(), connections.isEmpty {
            throw Failure(.unavailable, "no local worker stays alive (see the lines above)")
        }
        if now - lastProgress > Self.quietMilliseconds {
            lastProgress = now
            notes.line(
                connections.isEmpty
                    ? "nothing progresses: no worker is connected; start one with 'winnow-worker serve --connect "
                        + "\(listener.localEndpoint)'"
                    : "nothing progresses: \(connections.count) workers are connected, \(workerCount) of them ready")
        }
    }

    // MARK: Receiving

    private func receive() throws {
        while let message = try listener.socket.receive() {
            guard message.frames.count == 2, let peer = Peer(routingID: message.frames[0]) else { continue }
            let bytes = message.frames[1]
            do {
                if TrainingAnswer.mayBe(bytes) {
                    try take(try TrainingAnswer(decoding: bytes), from: peer)
                } else {
                    try take(try WorkerMessage(decoding: bytes), from: peer, of: listener.origin(of: message))
                }
            } catch let error as WireError {
                notes.line("dropped \(error)")
                // Whoever sends nonsense is told what this side speaks, and forgotten.
                try? send(CoordinatorMessage.dismissed(reason: error.description).encoded(), to: peer)
                if connections[peer] != nil { lose(peer, "sent \(error)") }
            }
        }
    }

    private func take(_ message: WorkerMessage, from peer: Peer, of origin: Origin) throws {
        assignment.workerHeard(peer, at: now)
        switch message {
        case .hello(let hello):
            guard connections[peer] != nil || connections.count < Self.connectionsMax else { return }
            var connection = connections[peer] ?? Connection()
            connection.origin = origin
            connection.threads = hello.threads
            connection.host = hello.host
            connections[peer] = connection
            // A worker that introduces itself has lost what it was given.
            assignment.workerLeft(peer)
            try send(welcome, to: peer)
        case .want(let range):
            guard connections[peer] != nil else { return try introduce(peer) }
            if reads(peer), let chunk = materials.store.chunk(range) {
                try send(CoordinatorMessage.chunk(chunk).encoded(), to: peer)
            }
        case .ready(let run):
            guard let connection = connections[peer], run == materials.welcome.run else { return try introduce(peer) }
            // A worker repeats it until it has parameters; it must not lose its tasks thereby.
            guard !assignment.knows(peer) else { return }
            connections[peer]?.version = nil
            assignment.workerJoined(
                peer, threads: connection.threads, witness: connection.origin.witness, at: now)
            notes.line("a worker on \(connection.host) with \(connection.threads) threads takes part")
        case .heartbeat: if connections[peer] == nil { try introduce(peer) }
        case .goodbye: lose(peer, "has left")
        case .losses, .failed: break
        }
    }

    private func introduce(_ peer: Peer) throws {
        _ = try listener.socket.send(CoordinatorMessage.introduce.encoded(), to: peer.routingID)
    }

    private func take(_ answer: TrainingAnswer, from peer: Peer) throws {
        guard connections[peer] != nil else { return try introduce(peer) }
        assignment.workerHeard(peer, at: now)
        switch answer {
        case .gradient(let part):
            let expected = layout.trainedCount + layout.statisticsCount
            if part.offset == 0 {
                connections[peer]?.assembly = FloatsAssembly(part, expected: expected)
            } else if connections[peer]?.assembly?.append(part) != true {
                connections[peer]?.assembly = nil
            }
        case .shardDone(let task, let lossSum, let correct, let images):
            let assembly = connections[peer]?.assembly
            connections[peer]?.assembly = nil
            guard let assembly, assembly.subject == task, let row = assembly.row,
                images == materials.welcome.shardSize
            else { return try assignment.failed(task, by: peer, reason: "an incomplete gradient") }
            guard lossSum.isFinite, layout.isPossible(row) else {
                let reason =
                    "its loss or gradient is no number; a smaller --learning-rate or a longer --warm-up helps where all "
                    + "workers say so"
                return try assignment.failed(task, by: peer, reason: reason)
            }
            let gradient = ShardGradient(
                gradient: Array(row[..<layout.trainedCount]), statistics: Array(row[layout.trainedCount...]),
                lossSum: lossSum, correct: correct, images: images)
            try record(.gradient(gradient), task, peer)
        case .evaluated(let task, let evaluation): try record(.evaluation(evaluation), task, peer)
        case .failed(let task, let reason):
            notes.line("the worker on \(connections[peer]?.host ?? "?") could not compute a share: \(reason)")
            connections[peer]?.version = nil
            try assignment.failed(task, by: peer, reason: reason)
        }
    }

    private func record(_ answer: Answer, _ task: UInt64, _ peer: Peer) throws {
        guard assignment.holds(peer, task) else { return }
        switch (works[task], answer) {
        case (.gradient, .gradient), (nil, _): break
        case (.evaluation(_, let range), .evaluation(let evaluation)) where evaluation.images == range.count: break
        default: return try assignment.failed(task, by: peer, reason: "an answer to another question")
        }
        guard assignment.answered(task, by: peer, at: now) == .wanted else { return }
        answers[task] = answer
        lastProgress = now
    }
}
