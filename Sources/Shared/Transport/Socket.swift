import CZeroMQ
import Foundation

/// A ZeroMQ socket: bytes in, bytes out, never blocking. It belongs to the thread that uses it and closes with its
/// owner.
public struct Socket: ~Copyable {
    /// The patterns in use.
    public enum Kind: Sendable {
        /// Talks to many peers; messages carry the peer's routing id as their first frame.
        case router
        /// Talks to one peer, without lockstep.
        case dealer
        /// Reads a monitor's events.
        case pair
        /// Answers requests; the authenticator's.
        case reply

        var code: Int32 {
            switch self {
            case .router: ZMQ_ROUTER
            case .dealer: ZMQ_DEALER
            case .pair: ZMQ_PAIR
            case .reply: ZMQ_REP
            }
        }
    }

    /// What became of a message.
    public enum Sent: Sendable {
        /// It is in the peer's queue.
        case queued
        /// The peer's queue is full, or there is no peer yet: the message is dropped.
        case full
        /// The peer is gone: the message is dropped.
        case unreachable
    }

    /// One received message.
    public struct Message: Sendable {
        /// Its frames, at most ``Socket/framesMax``; the rest is dropped.
        public var frames: [[UInt8]]
        /// The authenticator's name for the peer; nil if it was not asked.
        public var user: String?
        /// The peer's address, without the port; empty if the transport has none.
        public var address = ""
    }

    /// The most frames to keep of a message; ours have at most two, the authenticator's requests have eight.
    static let framesMax = 8
    /// Marks a frame followed by another of the same message.
    static let more = ZMQ_SNDMORE

    let handle: UnsafeMutableRawPointer
    /// Keeps the context alive, since the context ends only after its sockets.
    private let context: Context
    /// Whether peers are admitted by an authenticator.
    private let isServer: Bool

    /// Makes a socket and sets its options. Throws ``TransportError``.
    public init(_ kind: Kind, in context: Context, options: SocketOptions = SocketOptions()) throws {
        guard let handle = zmq_socket(context.handle, kind.code) else {
            throw TransportError(operation: "make a socket", code: zmq_errno())
        }
        do {
            try options.apply(to: handle, kind)
        } catch {
            zmq_close(handle)
            throw error
        }
        self.handle = handle
        self.context = context
        if case .server = options.security { isServer = true } else { isServer = false }
    }

    deinit { zmq_close(handle) }

    /// Ends a ``SocketMonitor``'s events; call it while the monitor exists. Events that nobody reads would block
    /// ZeroMQ's I/O thread for ever.
    public func stopMonitoring() {
        _ = zmq_socket_monitor(handle, nil, 0)
    }

    /// Listens. Throws ``TransportError``: `EADDRINUSE`, `EADDRNOTAVAIL`, `ENODEV`, `EINVAL`.
    public func bind(to endpoint: String) throws {
        try call("listen at \(endpoint)") { zmq_bind(handle, endpoint) }
    }

    /// Stops to listen at an endpoint, as ``lastEndpoint()`` writes it. Throws ``TransportError``.
    public func unbind(from endpoint: String) throws {
        try call("stop listening at \(endpoint)") { zmq_unbind(handle, endpoint) }
    }

    /// Connects, now or as soon as something listens there. Throws ``TransportError`` if the endpoint is invalid.
    public func connect(to endpoint: String) throws {
        try call("connect to \(endpoint)") { zmq_connect(handle, endpoint) }
    }

    /// The endpoint of the last ``bind(to:)``, with the actual port if 0 or `*` was given.
    public func lastEndpoint() throws -> String {
        var text = [UInt8](repeating: 0, count: 1024)
        var size = text.count
        try call("read the endpoint") { zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &size) }
        return String(decoding: text.prefix(size).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Sends a message of one frame. A router's needs ``send(_:to:)``.
    public func send(_ payload: [UInt8]) throws -> Sent { try send(payload, flags: 0) }

    /// Sends a message to one of a router's peers.
    public func send(_ payload: [UInt8], to peer: [UInt8]) throws -> Sent {
        let sent = try send(peer, flags: ZMQ_SNDMORE)
        return sent == .queued ? try send(payload, flags: 0) : sent
    }

    /// Sends one frame; `more` if another of the same message follows.
    func send(_ bytes: [UInt8], flags: Int32) throws -> Sent {
        while true {
            if zmq_send(handle, bytes, bytes.count, ZMQ_DONTWAIT | flags) >= 0 { return .queued }
            switch zmq_errno() {
            case EINTR: continue
            case EAGAIN: return .full
            case EHOSTUNREACH: return .unreachable
            case let code: throw TransportError(operation: "send a message", code: code)
            }
        }
    }

    /// The next message, or nil if none is waiting. On a server's socket, a peer that the authenticator did not admit
    /// is never heard: without its handler libzmq admits everybody, so messages without a user are dropped. Throws
    /// ``TransportError``.
    public func receive() throws -> Message? {
        var part = zmq_msg_t()
        zmq_msg_init(&part)
        defer { zmq_msg_close(&part) }
        while true {
            var message = Message(frames: [], user: nil)
            repeat {
                guard try receive(&part) else { return nil }
                if message.frames.count < Self.framesMax {
                    let bytes = UnsafeRawBufferPointer(start: zmq_msg_data(&part), count: zmq_msg_size(&part))
                    message.frames.append([UInt8](bytes))
                }
            } while zmq_msg_more(&part) == 1
            if let address = zmq_msg_gets(&part, "Peer-Address") { message.address = String(cString: address) }
            guard isServer else { return message }
            guard let user = zmq_msg_gets(&part, "User-Id"), user.pointee != 0 else { continue }
            message.user = String(cString: user)
            return message
        }
    }

    private func receive(_ part: inout zmq_msg_t) throws -> Bool {
        while zmq_msg_recv(&part, handle, ZMQ_DONTWAIT) < 0 {
            switch zmq_errno() {
            case EINTR: continue
            case EAGAIN: return false
            case let code: throw TransportError(operation: "receive a message", code: code)
            }
        }
        return true
    }
}
