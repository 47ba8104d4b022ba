import CLinux
import Foundation
import Shared

/// Where a coordinator listens for workers, and whom it admits.
struct Listener: ~Copyable {
    /// Who may connect.
    enum Admission {
        /// Everybody who reaches the port.
        case everybody
        /// The holders of these public keys; the coordinator proves its identity with its own.
        case holders(of: Set<CurveKey>, own: KeyPair)
    }

    let context: Context
    private(set) var socket: Socket
    private let options: SocketOptions
    /// The endpoint with the actual port.
    let endpoint: String
    /// The environment of a worker started here: a key that lives as long as this process.
    let localEnvironment: [String: String]
    /// Its public key; nil without keys.
    private let localKey: String?
    private let authenticator: Authenticator?

    /// Listens. Throws a `.usage` ``Failure`` if the endpoint is invalid or would admit everybody from other hosts
    /// without permission, and an `.unavailable` one if the port is in use.
    init(at text: String, admitting admission: Admission, isInsecureMeant: Bool) throws {
        let endpoint = try Endpoint(listeningAt: text, option: "--bind").resolved(option: "--bind")
        // Every worker is an open file.
        _ = winnow_raise_descriptor_limit()
        let context = try Context()
        // Messages from workers are small; those to them are chunks of blobs at most.
        var options = SocketOptions()
        options.receivedFrameBytesMax = Int64(Wire.messageBytesMax)
        options.sendQueueMax = 16
        options.usesIPv6 = endpoint.ipv4 == nil
        var authenticator: Authenticator?
        var localEnvironment: [String: String] = [:]
        var localKey: String?
        switch admission {
        case .everybody:
            if !endpoint.isLoopback {
                guard isInsecureMeant else {
                    throw Failure(
                        .usage,
                        "--bind \(endpoint) would let everybody who reaches the port take part in the run; "
                            + "make keys ('winnow-coordinator keygen --output keys') and give --key-file and "
                            + "--admit, or give --insecure on a network you trust")
                }
                Log.shared.line(
                    "warning: --insecure: anyone who reaches \(endpoint) can take part in this run and send "
                        + "wrong losses")
            } else {
                Log.shared.line(
                    "every user of this host can take part in this run; to admit only some workers, give "
                        + "--key-file and --admit")
            }
        case .holders(let keys, let own):
            options.security = .server(own)
            let local = try KeyPair.generate()
            localKey = local.public.text
            localEnvironment = ["WINNOW_SECRET_KEY": local.secret.text, "WINNOW_SERVER_KEY": own.public.text]
            // Somebody without a key may try very often.
            let told = BoundedLog(perMinute: 10)
            authenticator = try Authenticator(in: context, admitting: keys.union([local.public])) { key, address in
                told.line("refused a worker at \(address): its public key \(key) is not admitted")
            }
        }
        let socket = try Socket(.router, in: context, options: options)
        do {
            try socket.bind(to: endpoint.description)
        } catch let error as TransportError {
            authenticator?.stop()
            switch error.code {
            case EADDRINUSE:
                throw Failure(
                    .unavailable,
                    "\(endpoint) is in use by another program; choose another port, or port 0 for any free one")
            case EINVAL: throw Failure(.usage, "--bind \(endpoint) is not an address to listen at")
            default: throw Failure(.unavailable, "\(error)")
            }
        }
        self.endpoint = try socket.lastEndpoint()
        self.context = context
        self.socket = socket
        self.options = options
        self.authenticator = authenticator
        self.localEnvironment = localEnvironment
        self.localKey = localKey
    }

    deinit { authenticator?.stop() }

    /// Closes all connections, with everything queued on them, and listens again; workers reconnect by themselves.
    /// Throws a ``TransportError`` if the port is no longer available.
    mutating func restart() throws {
        var options = options
        // The queued messages are the problem.
        options.lingerMilliseconds = 0
        try? socket.unbind(from: endpoint)
        socket = try Socket(.router, in: context, options: options)
        let end = Moment.now() + Self.restartMilliseconds
        while true {
            do {
                try socket.bind(to: endpoint)
                return
            } catch let error as TransportError where error.code == EADDRINUSE && Moment.now() < end {
                usleep(Self.restartPauseMicroseconds)
            }
        }
    }

    /// How long the port may take to become free, and the pause between two attempts.
    private static let restartMilliseconds: Int64 = 10_000
    private static let restartPauseMicroseconds: UInt32 = 20_000

    /// Where a message came from.
    func origin(of message: Socket.Message) -> Origin {
        Origin(key: message.user, address: message.address, isOwn: localKey != nil && message.user == localKey)
    }

    /// Whether workers started here prove their origin.
    var knowsItsOwn: Bool { localKey != nil }

    /// Where workers on this host connect to.
    var localEndpoint: String {
        endpoint.replacing("tcp://0.0.0.0:", with: "tcp://127.0.0.1:").replacing("tcp://[::]:", with: "tcp://[::1]:")
    }

    /// Where workers elsewhere connect to, as far as this host knows its own name.
    var endpointForPeople: String {
        let host = ProcessInfo.processInfo.hostName
        return endpoint.replacing("tcp://0.0.0.0:", with: "tcp://\(host):").replacing(
            "tcp://[::]:", with: "tcp://\(host):")
    }
}

/// Writes to the log, but no more lines a minute than it may.
final class BoundedLog: @unchecked Sendable {
    private let lock = NSLock()
    private let perMinute: Int
    private var minute: Int64 = -1
    private var lines = 0

    /// A log with a limit on lines per minute.
    init(perMinute: Int) { self.perMinute = perMinute }

    /// Writes a line, or counts it.
    func line(_ text: String) {
        let now = Moment.now().milliseconds / 60_000
        let (left, hidden) = lock.withLock { () -> (Bool, Int) in
            let hidden = now != minute ? max(0, lines - perMinute) : 0
            if now != minute { (minute, lines) = (now, 0) }
            lines += 1
            return (lines <= perMinute, hidden)
        }
        if hidden > 0 { Log.shared.line("(\(hidden) lines like the next one were hidden)") }
        if left { Log.shared.line(text) }
    }
}
