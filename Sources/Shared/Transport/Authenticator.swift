import Foundation

/// Admits the peers of a context's secured sockets by their public keys (ZAP, ZeroMQ RFC 27).
///
/// It must exist from before a secured socket is bound until that socket is closed.
public final class Authenticator: Sendable {
    /// The domain of our secured sockets.
    static let domain = "winnow"
    /// Where libzmq looks for the handler.
    private static let endpoint = "inproc://zeromq.zap.01"

    private let thread: BackgroundThread
    private let stopping: WakeUp

    /// Starts to answer, on its own thread. `onRefusal` is called there with the key and the address of a refused peer.
    /// Throws ``TransportError``.
    public init(
        in context: Context, admitting admitted: Set<CurveKey>,
        onRefusal: @escaping @Sendable (_ key: String, _ address: String) -> Void
    ) throws {
        let stopping = try WakeUp()
        self.stopping = stopping
        let started = Locked<Result<Void, any Error>?>(nil)
        let isUp = DispatchSemaphore(value: 0)
        thread = BackgroundThread(name: "winnow-auth") {
            do {
                let socket = try Socket(.reply, in: context)
                try socket.bind(to: Self.endpoint)
                started.withLock { $0 = .success(()) }
                isUp.signal()
                try Self.answer(on: socket, until: stopping, admitting: admitted, onRefusal: onRefusal)
            } catch {
                started.withLock { if $0 == nil { $0 = .failure(error) } }
                isUp.signal()
            }
        }
        isUp.wait()
        try started.withLock { try $0?.get() }
    }

    /// Stops and waits until the thread has ended.
    public func stop() {
        stopping.signal()
        thread.join()
    }

    private static func answer(
        on socket: borrowing Socket, until stopping: WakeUp, admitting admitted: Set<CurveKey>,
        onRefusal: (String, String) -> Void
    ) throws {
        var poller = Poller()
        let requests = poller.watch(socket)
        let stop = poller.watch(descriptor: stopping.descriptor)
        while true {
            try poller.wait(milliseconds: -1)
            if poller.isReadable(stop) { return }
            guard poller.isReadable(requests), let request = try socket.receive()?.frames, request.count > 1 else {
                continue
            }
            let key = request.count > 6 ? CurveKey(bytes: request[6]) : nil
            let isOurs = request[0] == Array("1.0".utf8) && request.count == 7
            let isCurve = isOurs && request[2] == Array(domain.utf8) && request[5] == Array("CURVE".utf8)
            let user: String
            if isCurve, let key, admitted.contains(key) {
                user = key.text
            } else {
                user = ""
                let address = request.count > 3 ? String(decoding: request[3], as: UTF8.self) : ""
                onRefusal(key?.text ?? "none", address)
            }
            let status = user.isEmpty ? ("400", "not admitted") : ("200", "OK")
            let reply = ["1.0", nil, status.0, status.1, user, ""].map { $0.map { Array($0.utf8) } ?? request[1] }
            for (index, frame) in reply.enumerated() {
                _ = try socket.send(frame, flags: index + 1 < reply.count ? Socket.more : 0)
            }
        }
    }
}
