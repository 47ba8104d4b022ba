import Foundation
import Shared

/// The worker's loop: owns the socket, asks the protocol what to do, and does it. It never computes, so heartbeats
/// continue while the workbench works.
final class WorkerLoop {
    /// What the user decides.
    struct Settings {
        /// Where the coordinator listens.
        var endpoint: String
        /// The keys, if the coordinator wants them.
        var security: SocketOptions.Security?
        /// Whether the worker ends with the run; otherwise it waits for the next one.
        var isOnce = false
        /// Whether the worker ends when its standard input does.
        var endsWithInput = false
        /// How long it continues without a coordinator, in milliseconds; nil for ever.
        var giveUpAfterMilliseconds: Int64?
    }

    /// Outgoing messages to queue: the parts of a few gradients of a large network.
    fileprivate static let sendQueueMax: Int32 = 4096
    /// The longest wait.
    private static let waitMillisecondsMax: Int64 = 1000
    /// How long after a run it asks for the next one, in milliseconds: its coordinator is busy with the report.
    private static let pauseMilliseconds: Int64 = 3000
    /// Milliseconds between two words about the same trouble with the connection.
    private static let complaintMilliseconds: Int64 = 30_000

    private let settings: Settings
    private let context: Context
    private let workbench: Workbench
    private let hello: WorkerMessage.Hello
    private var state: WorkerProtocol
    private var link: Link?
    private var connections = 0
    /// The blob being downloaded, and its bytes so far.
    private var partial: (digest: Digest, bytes: [UInt8])?
    /// The blob requested last.
    private var wanted: CoordinatorMessage.Blob?
    /// How often a worker reports its progress on a large blob.
    private static let bytesToTell = 128 << 20
    private var lastOnline = Moment.now()
    private var complaints: [String: Moment] = [:]
    /// Whether the other side ended the handshake, and ZeroMQ has not retried yet.
    private var handshakeEnded = false
    private var ending: WorkerProtocol.Ending?

    /// One connection.
    private final class Link {
        let socket: Socket
        let monitor: SocketMonitor

        init(to settings: Settings, in context: Context, number: Int) throws {
            var options = SocketOptions()
            options.receivedFrameBytesMax = Int64(Wire.messageBytesMax)
            options.sendQueueMax = WorkerLoop.sendQueueMax
            options.security = settings.security
            let socket = try Socket(.dealer, in: context, options: options)
            let monitor = try SocketMonitor(of: socket, in: context, name: "worker-\(number)")
            try socket.connect(to: settings.endpoint)
            self.socket = socket
            self.monitor = monitor
        }

        deinit { socket.stopMonitoring() }
    }

    /// Prepares a worker. Throws a ``Failure`` or ``TransportError``.
    init(_ settings: Settings, workbench: Workbench, hello: WorkerMessage.Hello) throws {
        self.settings = settings
        self.workbench = workbench
        self.hello = hello
        context = try Context()
        state = WorkerProtocol(hello: hello, at: .now())
    }

    /// Works until told to stop, or for ever. Throws a ``Failure`` if it cannot continue.
    func run(signals: borrowing SignalQueue) throws {
        while true {
            // The connection may change in every turn, and so may what there is to wait for.
            var poller = Poller()
            let interrupts = poller.watch(descriptor: signals.descriptor)
            let results = poller.watch(descriptor: workbench.finished.descriptor)
            let input = settings.endsWithInput ? poller.watch(descriptor: STDIN_FILENO) : nil
            let messages = link.map { ($0, poller.watch($0.socket), poller.watch($0.monitor.socket)) }
            let due = min(state.nextDeadline - .now(), Self.waitMillisecondsMax)
            try poller.wait(milliseconds: Int(max(0, due)))

            if let input, poller.isReadable(input), hasInputEnded() { return }
            if poller.isReadable(interrupts), signals.next() != nil {
                Log.shared.line("stopping after the current work")
                try perform(state.stopRequested(at: .now()))
            }
            if let (link, socket, monitor) = messages {
                if poller.isReadable(monitor) { try watch(link) }
                if poller.isReadable(socket) { try receive(link) }
            }
            if poller.isReadable(results) { try takeResults() }
            if state.nextDeadline <= .now() { try perform(state.timePassed(at: .now())) }
            if let ending, try isOver(ending) { return }
            try giveUpIfDue()
        }
    }

    /// Reads standard input; true at its end.
    private func hasInputEnded() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256)
        return read(STDIN_FILENO, &buffer, buffer.count) <= 0
    }

    /// Whether the worker is done; otherwise it starts over.
    private func isOver(_ how: WorkerProtocol.Ending) throws -> Bool {
        link = nil
        switch how {
        case .left: return true
        case .refused(let reason): throw Failure(.unavailable, "the coordinator refuses this worker: \(reason)")
        case .failed(let reason): throw Failure(.badInput, reason)
        case .finished:
            Log.shared.line("the run is over" + (settings.isOnce ? "" : "; waiting for the next one"))
            if settings.isOnce { return true }
            ending = nil
            partial = nil
            lastOnline = .now()
            state = WorkerProtocol(hello: hello, at: .now() + Self.pauseMilliseconds)
            return false
        }
    }

    private func giveUpIfDue() throws {
        if state.isOnline { lastOnline = .now() }
        guard let limit = settings.giveUpAfterMilliseconds, Moment.now() - lastOnline > limit else { return }
        throw Failure(
            .unavailable, "no coordinator at \(settings.endpoint) for \(limit / 1000) s; is it running and reachable?")
    }

    // MARK: Events

    private func receive(_ link: Link) throws {
        // One message may end the connection.
        while self.link === link, let frames = try link.socket.receive()?.frames {
            guard frames.count == 1 else { continue }
            do {
                try perform(state.received(CoordinatorMessage(decoding: frames[0]), at: .now()))
            } catch let error as WireError {
                try perform(state.receivedUnreadable(error, at: .now()))
            }
        }
    }

    private func takeResults() throws {
        for result in workbench.results() {
            let now = Moment.now()
            switch result {
            case .located(let digest, let isWhole):
                try perform(state.blobLocated(digest, bytes: 0, isWhole: isWhole, at: now))
            case .checked(let digest, let isRight): try perform(state.blobChecked(digest, isRight: isRight, at: now))
            case .prepared(let run): try perform(state.prepared(run, at: now))
            case .preparationFailed(let reason): try perform(state.preparationFailed(reason, at: now))
            case .computed(let lease, let result, let row, let microseconds):
                try perform(state.computed(lease, result, row: row, microseconds: microseconds, at: now))
            case .abandoned(let lease): try perform(state.abandoned(lease, at: now))
            case .computationFailed(let lease, let reason):
                Log.shared.line("cannot compute lease \(lease): \(reason)")
                try perform(state.computationFailed(lease, reason: reason, at: now))
            }
        }
    }

    // MARK: Actions

    private func perform(_ actions: [WorkerProtocol.Action]) throws {
        for action in actions {
            switch action {
            case .connect:
                connections += 1
                link = try Link(to: settings, in: context, number: connections)
            case .disconnect: link = nil
            // If the queue is full, the other side is gone; everything that matters is resent.
            case .send(let message): _ = try link?.socket.send(message.encoded())
            case .locate(let blob): try locate(blob)
            case .store(let chunk): store(chunk)
            case .check(let blob):
                let bytes = partial?.digest == blob.digest ? partial?.bytes : nil
                partial = nil
                workbench.submit(.check(blob, bytes ?? []))
            case .prepare(let welcome): workbench.submit(.prepare(welcome))
            case .load(let version, let row): workbench.submit(.load(version: version, row))
            case .compute(let lease): workbench.submit(.compute(lease))
            case .abandon(let lease): workbench.abandon(lease)
            case .note(let text): Log.shared.line("\(settings.endpoint): \(text)")
            case .stop(let how): ending = how
            }
        }
    }

    private func locate(_ blob: CoordinatorMessage.Blob) throws {
        try workbench.library.check(blob)
        wanted = blob
        if let partial, partial.digest == blob.digest {
            let bytes = UInt64(partial.bytes.count)
            try perform(state.blobLocated(blob.digest, bytes: bytes, isWhole: false, at: .now()))
        } else {
            partial = nil
            workbench.submit(.locate(blob))
        }
    }

    private func store(_ chunk: CoordinatorMessage.Chunk) {
        if partial?.digest != chunk.digest || chunk.offset == 0 {
            partial = (chunk.digest, [])
            // A growing array would be copied to one of twice the size. The announced size has been checked against the
            // limit, and the system allocates memory only where bytes arrive.
            if let wanted, wanted.digest == chunk.digest { partial?.bytes.reserveCapacity(Int(clamping: wanted.size)) }
        }
        partial?.bytes += chunk.bytes
        guard let count = partial?.bytes.count, let wanted, wanted.digest == chunk.digest,
            count / Self.bytesToTell > (count - chunk.bytes.count) / Self.bytesToTell
        else { return }
        Log.shared.line("\(count >> 20) of \(wanted.size >> 20) MB are here")
    }

    // MARK: Trouble

    /// Says in plain words what prevents the connection.
    private func watch(_ link: Link) throws {
        let hasKeys = settings.security != nil
        while let event = try link.monitor.next() {
            switch event {
            case .connected, .disconnected: break
            case .retrying:
                // Who ended the handshake does listen.
                if !handshakeEnded {
                    complain(
                        HostName.isKnown(in: settings.endpoint)
                            ? "nobody listens at \(settings.endpoint) yet; is the coordinator running?"
                            : "this host does not know the host in \(settings.endpoint); is its name spelt correctly?")
                }
                handshakeEnded = false
            case .handshakeFailed:
                handshakeEnded = true
                complain(
                    hasKeys
                        ? "\(settings.endpoint) ended the handshake: the key given with --server-key-file is "
                            + "probably not this coordinator's"
                        : "\(settings.endpoint) ended the handshake: it probably wants keys (--key-file and "
                            + "--server-key-file), or is not a coordinator")
            case .handshakeMismatch:
                handshakeEnded = true
                complain(
                    "\(settings.endpoint) speaks another security protocol: "
                        + (hasKeys
                            ? "this worker uses keys and the coordinator does not"
                            : "the coordinator wants keys (--key-file and --server-key-file)"))
            case .refused:
                handshakeEnded = true
                complain(
                    "\(settings.endpoint) does not admit this worker's key; the coordinator needs its public key with "
                        + "--admit")
            }
        }
    }

    /// Logs a trouble, not too often.
    private func complain(_ text: String) {
        let now = Moment.now()
        if let last = complaints[text], now - last < Self.complaintMilliseconds { return }
        complaints[text] = now
        Log.shared.line(text)
    }
}
