import CZeroMQ

/// An event of a socket's connections.
public enum ConnectionEvent: Sendable, Equatable {
    /// A connection is established and its handshake is done.
    case connected
    /// The connection is lost; ZeroMQ tries again.
    case disconnected
    /// Nobody listens there; ZeroMQ tries again.
    case retrying
    /// The other side ended the handshake without a reason, as a server does that cannot read a client's greeting
    /// because the client used another server's key.
    case handshakeFailed
    /// The two sides speak different protocols: only one has keys, or the other is not ZeroMQ.
    case handshakeMismatch
    /// The other side does not admit our key.
    case refused
}

/// Reports events of a socket's connections. It must not outlive the socket.
public struct SocketMonitor: ~Copyable {
    /// The socket to poll for events.
    public let socket: Socket

    /// Starts to watch a socket. `name` must be unique among the context's monitors. Throws ``TransportError``.
    public init(of watched: borrowing Socket, in context: Context, name: String) throws {
        let endpoint = "inproc://monitor-\(name)"
        let handle = watched.handle
        try call("watch a socket") { zmq_socket_monitor(handle, endpoint, ZMQ_EVENT_ALL) }
        let events = try Socket(.pair, in: context)
        try events.connect(to: endpoint)
        socket = events
    }

    /// The next event, or nil if none is waiting. Throws ``TransportError``.
    public func next() throws -> ConnectionEvent? {
        while let frame = try socket.receive()?.frames.first {
            guard frame.count >= 2 else { continue }
            switch Int32(frame[0]) | Int32(frame[1]) << 8 {
            case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return .connected
            case ZMQ_EVENT_DISCONNECTED: return .disconnected
            case ZMQ_EVENT_CONNECT_RETRIED: return .retrying
            case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: return .handshakeFailed
            case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return .handshakeMismatch
            case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return .refused
            default: continue
            }
        }
        return nil
    }
}
