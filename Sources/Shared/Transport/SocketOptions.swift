import CZeroMQ

/// A socket's limits and keys. Everything that a peer can make grow has a limit here.
public struct SocketOptions: Sendable {
    /// Bytes of the largest frame to receive; a peer that sends a larger one is disconnected.
    public var receivedFrameBytesMax: Int64 = 1 << 20
    /// Incoming messages to queue, per peer.
    public var receiveQueueMax: Int32 = 256
    /// Outgoing messages to queue, per peer; sending another one reports a full queue.
    public var sendQueueMax: Int32 = 256
    /// Connections waiting to be accepted.
    public var backlog: Int32 = 4096
    /// How long closing waits for messages to leave.
    public var lingerMilliseconds: Int32 = 500
    /// How long a peer may take for its handshake.
    public var handshakeMilliseconds: Int32 = 10_000
    /// How long connecting waits before it tries again, at first and at most.
    public var reconnectMilliseconds: (first: Int32, most: Int32) = (200, 5_000)
    /// Whether it also speaks IPv6; IPv4 addresses to listen at are then written as IPv6 ones.
    public var usesIPv6 = true
    /// CURVE, or nothing for a socket without keys.
    public var security: Security?

    /// Makes the default options.
    public init() {}

    /// The keys of a CURVE socket.
    public enum Security: Sendable {
        /// Binds; an ``Authenticator`` of the same context decides who is admitted.
        case server(KeyPair)
        /// Connects to a server with a known public key.
        case client(KeyPair, server: CurveKey)
    }
}

extension SocketOptions {
    /// Sets the options of a socket that is not yet bound or connected. Throws ``TransportError``.
    func apply(to handle: UnsafeMutableRawPointer, _ kind: Socket.Kind) throws {
        func set(_ value: some BitwiseCopyable, for option: Int32, _ name: String) throws {
            _ = try withUnsafeBytes(of: value) { bytes in
                try call("set the socket's \(name)") { zmq_setsockopt(handle, option, bytes.baseAddress, bytes.count) }
            }
        }
        func set(bytes: [UInt8], for option: Int32, _ name: String) throws {
            try call("set the socket's \(name)") { zmq_setsockopt(handle, option, bytes, bytes.count) }
        }
        let yes: Int32 = 1
        try set(lingerMilliseconds, for: ZMQ_LINGER, "linger")
        guard kind == .router || kind == .dealer else { return }
        try set(receivedFrameBytesMax, for: ZMQ_MAXMSGSIZE, "largest frame")
        try set(receiveQueueMax, for: ZMQ_RCVHWM, "receive queue")
        try set(sendQueueMax, for: ZMQ_SNDHWM, "send queue")
        try set(backlog, for: ZMQ_BACKLOG, "backlog")
        try set(handshakeMilliseconds, for: ZMQ_HANDSHAKE_IVL, "handshake time")
        try set(reconnectMilliseconds.first, for: ZMQ_RECONNECT_IVL, "reconnect time")
        try set(reconnectMilliseconds.most, for: ZMQ_RECONNECT_IVL_MAX, "longest reconnect time")
        try set(Int32(usesIPv6 ? 1 : 0), for: ZMQ_IPV6, "IPv6")
        // A host that vanished is detected after a minute, whatever the protocol above does.
        try set(yes, for: ZMQ_TCP_KEEPALIVE, "keepalive")
        try set(Int32(30), for: ZMQ_TCP_KEEPALIVE_IDLE, "keepalive idle time")
        try set(Int32(10), for: ZMQ_TCP_KEEPALIVE_INTVL, "keepalive interval")
        try set(Int32(3), for: ZMQ_TCP_KEEPALIVE_CNT, "keepalive count")
        if kind == .router { try set(yes, for: ZMQ_ROUTER_MANDATORY, "mandatory routing") }
        switch security {
        case .server(let keys):
            try set(yes, for: ZMQ_CURVE_SERVER, "CURVE server")
            try set(bytes: keys.secret.bytes, for: ZMQ_CURVE_SECRETKEY, "secret key")
            // With a domain, the authenticator handles this socket's peers; see ``Socket/receive()``.
            try set(bytes: Array(Authenticator.domain.utf8), for: ZMQ_ZAP_DOMAIN, "authentication domain")
        case .client(let keys, let server):
            try set(bytes: server.bytes, for: ZMQ_CURVE_SERVERKEY, "server key")
            try set(bytes: keys.public.bytes, for: ZMQ_CURVE_PUBLICKEY, "public key")
            try set(bytes: keys.secret.bytes, for: ZMQ_CURVE_SECRETKEY, "secret key")
        case nil: break
        }
    }
}
