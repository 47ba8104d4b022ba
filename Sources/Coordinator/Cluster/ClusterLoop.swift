import Foundation
import Shared

/// One life of a coordinator: owns the socket, asks a policy what to do, and does it.
///
/// Every turn receives what has arrived, commits what must be recorded, and only then sends the answers, so nothing is
/// acknowledged that could be lost. Each policy's loop decides what to record, and where.
class ClusterLoop<Policy: RosterPolicy> {
    /// Messages per turn; then their changes are committed and answered.
    private static var messagesPerTurn: Int { 1024 }
    /// Milliseconds between two looks at the local workers and the progress.
    private static var tickMilliseconds: Int64 { 1000 }
    /// The longest wait, so that stragglers are noticed.
    private static var waitMillisecondsMax: Int64 { 250 }
    /// The wait while messages wait for room in a queue.
    private static var fullMilliseconds: Int64 { 5 }
    /// Messages queued for one peer; a peer that does not read loses the rest, and heartbeats repair that.
    private static var waitingMax: Int { 256 }

    private var listener: Listener
    private var memory = MemoryGuard()
    private let store: BlobStore
    private let welcome: [UInt8]
    let localWorkers: LocalWorkers?
    /// Decides.
    var policy: Policy
    private var outbox: [(peer: Peer, message: [UInt8], kind: Kind)] = []
    /// Messages that found no room in their peers' queues.
    private var waiting: [Peer: [[UInt8]]] = [:]
    private(set) var now = Moment.now()
    private(set) var date = Date()
    private var nextTick = Moment.now()
    /// The policy's messages to the user; a peer may cause many of them.
    private let notes = BoundedLog(perMinute: 200)

    /// What happens to a message without room in the queue.
    private enum Kind {
        /// It waits.
        case needed
        /// It is dropped: a peer that reads again will ask for it, or not miss it.
        case optional
    }

    init(
        _ policy: Policy, at listener: consuming Listener, serving store: BlobStore, localWorkers: LocalWorkers?
    ) {
        self.policy = policy
        self.listener = listener
        self.store = store
        self.localWorkers = localWorkers
        welcome = CoordinatorMessage.welcome(policy.roster.welcome).encoded()
    }

    // MARK: For the loops of each policy

    /// Where a worker on this host connects to.
    var localEndpoint: String { listener.localEndpoint }

    /// Looks up a closed lease.
    func grantedLease(_ lease: LeaseID) throws -> Scheduler.GrantedLease? { nil }

    /// Does a policy's own actions.
    func act(_ action: ClusterAction) throws {}

    /// A worker was welcomed.
    func welcomed(_ hello: WorkerMessage.Hello, _ peer: Peer, from origin: Origin) throws {}

    /// A message is about to be given to the policy.
    func heard(_ message: WorkerMessage) {}

    /// Messages to a peer wait for room, or no longer do.
    func blocked(_ peer: Peer, _ isBlocked: Bool) throws {}

    /// A peer is gone.
    func left(_ peer: Peer) {}

    /// All connections were closed.
    func droppedConnections() {}

    /// Makes the records safe; nothing is sent before.
    func commit() throws {}

    /// About once a second.
    func tick() throws {}

    // MARK: Turning

    /// One turn. False if a signal came.
    func turn(_ signals: borrowing SignalQueue) throws -> Bool {
        // The socket may be replaced.
        var poller = Poller()
        let messages = poller.watch(listener.socket)
        let interrupts = poller.watch(descriptor: signals.descriptor)
        let longest = waiting.isEmpty ? Self.waitMillisecondsMax : Self.fullMilliseconds
        let due = min(policy.nextDeadline - now, nextTick - now, longest)
        try poller.wait(milliseconds: Int(max(0, due)))
        now = Moment.now()
        date = Date()
        if poller.isReadable(interrupts), signals.next() != nil { return false }
        let isBehind = poller.isReadable(messages) ? try !receive() : false
        if policy.nextDeadline <= now || due == Self.waitMillisecondsMax {
            try perform(policy.timePassed(at: now, isBehind: isBehind))
        }
        if nextTick <= now {
            nextTick = now + Self.tickMilliseconds
            try tick()
        }
        if memory.isExceeded() { try dropConnections() }
        try settle()
        return true
    }

    /// Frees the memory that peers make us hold: closes all connections, and honest workers reconnect.
    private func dropConnections() throws {
        notes.line(MemoryGuard.complaint)
        try listener.restart()
        outbox = []
        waiting = [:]
        droppedConnections()
        for peer in Array(policy.connectedPeers) { try perform(policy.disconnected(peer, at: now)) }
        memory.settle()
    }

    /// Receives what has arrived; false if more is waiting than one turn takes.
    private func receive() throws -> Bool {
        for _ in 0..<Self.messagesPerTurn {
            guard let message = try listener.socket.receive() else { return true }
            // A peer that chose its own routing id is not one of ours.
            guard message.frames.count == 2, let peer = Peer(routingID: message.frames[0]) else { continue }
            do {
                try take(WorkerMessage(decoding: message.frames[1]), from: peer, of: listener.origin(of: message))
            } catch let error as WireError {
                try perform(policy.receivedUnreadable(error, from: peer, at: now))
            }
        }
        return false
    }

    private func take(_ message: WorkerMessage, from peer: Peer, of origin: Origin) throws {
        heard(message)
        let actions = try policy.received(
            message, from: peer, of: origin, at: now, granted: { try grantedLease($0) })
        if case .hello(let hello) = message, actions.contains(.welcome(peer)) {
            try welcomed(hello, peer, from: origin)
        }
        try perform(actions)
    }

    /// Does what the policy wants.
    func perform(_ actions: [ClusterAction]) throws {
        for action in actions {
            switch action {
            case .welcome(let peer): outbox.append((peer, welcome, .needed))
            case .introduce(let peer): send(.introduce, to: peer, .optional)
            case .grant(let peer, let lease, let job):
                try act(action)
                send(.lease(.init(run: policy.roster.welcome.run, lease: lease, job: job)), to: peer)
            case .acknowledge(let peer, let lease):
                try act(action)
                send(.acknowledged(lease), to: peer)
            case .cancel(let peer, let lease):
                try act(action)
                send(.cancel(lease), to: peer)
            case .sendChunk(let peer, let range):
                if let chunk = store.chunk(range) { send(.chunk(chunk), to: peer, .optional) }
            case .heartbeat(let peer):
                send(.heartbeat(life: policy.roster.welcome.life, lease: policy.lastLease), to: peer, .optional)
            case .dismiss(let peer, let reason):
                try act(action)
                send(.dismissed(reason: reason), to: peer)
            case .finish(let peer): send(.finished, to: peer)
            case .note(let text): notes.line(text)
            case .sendParameters, .sendPart, .record, .retract, .setAside, .release, .remember, .end: try act(action)
            }
        }
    }

    /// Informs the user, not too often.
    func note(_ text: String) { notes.line(text) }

    private func send(_ message: CoordinatorMessage, to peer: Peer, _ kind: Kind = .needed) {
        outbox.append((peer, message.encoded(), kind))
    }

    /// Sends a message that may be dropped if there is no room.
    func send(_ message: [UInt8], to peer: Peer) { outbox.append((peer, message, .optional)) }

    /// Commits what was recorded, then sends what is queued. A peer that turns out to be gone may change what there is
    /// to do, so it repeats until nothing is left.
    func settle() throws {
        for peer in Array(waiting.keys) { try flush(peer) }
        repeat {
            try commit()
            let messages = outbox
            outbox.removeAll(keepingCapacity: true)
            for (peer, message, kind) in messages {
                if waiting[peer] != nil {
                    // A queue that stays full belongs to a peer that does not read.
                    if kind == .needed, waiting[peer].map({ $0.count < Self.waitingMax }) ?? false {
                        waiting[peer]?.append(message)
                    }
                    continue
                }
                switch try listener.socket.send(message, to: peer.routingID) {
                case .queued: break
                case .full:
                    guard kind == .needed else { break }
                    waiting[peer] = [message]
                    try blocked(peer, true)
                case .unreachable: try lose(peer)
                }
            }
        } while !outbox.isEmpty
    }

    private func flush(_ peer: Peer) throws {
        while let message = waiting[peer]?.first {
            switch try listener.socket.send(message, to: peer.routingID) {
            case .queued: waiting[peer]?.removeFirst()
            case .full: return
            case .unreachable: return try lose(peer)
            }
        }
        waiting[peer] = nil
        try blocked(peer, false)
    }

    private func lose(_ peer: Peer) throws {
        waiting[peer] = nil
        left(peer)
        try perform(policy.disconnected(peer, at: now))
    }
}

extension Peer {
    /// Bytes of a routing id that the ROUTER socket draws: a zero and a 32-bit number.
    private static let routingIDBytes = 5

    /// A peer from the first frame of its message; nil if the socket did not draw it.
    init?(routingID: [UInt8]) {
        guard routingID.count == Self.routingIDBytes, routingID[0] == 0 else { return nil }
        self.init(id: routingID.reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The first frame of a message to it.
    var routingID: [UInt8] { (0..<Self.routingIDBytes).reversed().map { UInt8(truncatingIfNeeded: id >> (8 * $0)) } }
}
