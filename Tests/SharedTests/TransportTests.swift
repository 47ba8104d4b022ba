import Foundation
import Testing

@testable import Shared

/// Real sockets over the loopback interface.
struct TransportTests {
    /// A bound router and a dealer connected to it.
    private struct Pair: ~Copyable {
        let context: Context
        let router: Socket
        let dealer: Socket

        init(router routerOptions: SocketOptions = .init(), dealer dealerOptions: SocketOptions = .init()) throws {
            let context = try Context()
            let router = try Socket(.router, in: context, options: routerOptions)
            try router.bind(to: "tcp://127.0.0.1:0")
            let dealer = try Socket(.dealer, in: context, options: dealerOptions)
            try dealer.connect(to: router.lastEndpoint())
            self.context = context
            self.router = router
            self.dealer = dealer
        }
    }

    /// The next message within some seconds, or nil.
    private func next(_ socket: borrowing Socket, seconds: Double = 10) throws -> Socket.Message? {
        var poller = Poller()
        _ = poller.watch(socket)
        let end = Date(timeIntervalSinceNow: seconds)
        repeat {
            if let message = try socket.receive() { return message }
            try poller.wait(milliseconds: 20)
        } while Date() < end
        return nil
    }

    /// The next event that counts within some seconds, or nil.
    private func next(_ monitor: borrowing SocketMonitor, besides ignored: [ConnectionEvent]) throws -> ConnectionEvent?
    {
        let end = Date(timeIntervalSinceNow: 10)
        while Date() < end {
            if let event = try monitor.next(), !ignored.contains(event) { return event }
            usleep(5_000)
        }
        return nil
    }

    @Test func messagesGoBothWays() throws {
        let pair = try Pair()
        #expect(try pair.dealer.send([1, 2, 3]) == .queued)
        let message = try #require(try next(pair.router))
        #expect(message.frames.count == 2)
        #expect(message.frames.last == [1, 2, 3])
        #expect(try pair.router.send([], to: message.frames[0]) == .queued)
        #expect(try next(pair.dealer)?.frames == [[]])
    }

    @Test func aMessageToAnUnknownPeerIsUnreachable() throws {
        let pair = try Pair()
        #expect(try pair.router.send([1], to: [0, 9, 9, 9, 9]) == .unreachable)
    }

    @Test func nobodyKnowsWhatARouterWillNameItsPeers() throws {
        // Claiming the name that comes next makes libzmq abort the program.
        func firstName() throws -> [UInt8]? {
            srand(1)
            let pair = try Pair()
            _ = try pair.dealer.send([1])
            return try next(pair.router)?.frames.first
        }
        let names = try [firstName(), firstName()].compactMap { $0 }
        #expect(names.count == 2)
        #expect(Set(names).count == 2)
    }

    @Test func aFullQueueIsToldAndNeverWaitedFor() throws {
        var options = SocketOptions()
        options.sendQueueMax = 4
        let context = try Context()
        let dealer = try Socket(.dealer, in: context, options: options)
        try dealer.connect(to: "tcp://127.0.0.1:9")
        var sent: [Socket.Sent] = []
        for _ in 0..<6 { sent.append(try dealer.send([0])) }
        #expect(sent.last == .full)
    }

    @Test func aFrameAboveTheLimitEndsTheConnectionAndNothingElse() throws {
        var options = SocketOptions()
        options.receivedFrameBytesMax = 1000
        let pair = try Pair(router: options)
        let other = try Socket(.dealer, in: pair.context)
        try other.connect(to: pair.router.lastEndpoint())
        _ = try pair.dealer.send([UInt8](repeating: 0, count: 1001))
        _ = try other.send([7])
        #expect(try next(pair.router)?.frames.last == [7])
        #expect(try next(pair.router, seconds: 0.2) == nil)
    }

    @Test func framesPastTheLimitAreDropped() throws {
        let pair = try Pair()
        for _ in 0..<50 { _ = try pair.dealer.send([1], flags: Socket.more) }
        _ = try pair.dealer.send([1])
        #expect(try next(pair.router)?.frames.count == Socket.framesMax)
    }

    @Test func aTakenPortIsAnError() throws {
        let pair = try Pair()
        let other = try Socket(.router, in: pair.context)
        let endpoint = try pair.router.lastEndpoint()
        do {
            try other.bind(to: endpoint)
            Issue.record("the port was taken twice")
        } catch let error as TransportError {
            #expect(error.code == EADDRINUSE)
            #expect(error.description.contains(endpoint))
        }
    }

    @Test func aWakeUpIsSeenOnce() throws {
        let wakeUp = try WakeUp()
        var poller = Poller()
        let index = poller.watch(descriptor: wakeUp.descriptor)
        wakeUp.signal()
        wakeUp.signal()
        try poller.wait(milliseconds: 1000)
        #expect(poller.isReadable(index))
        wakeUp.clear()
        try poller.wait(milliseconds: 0)
        #expect(!poller.isReadable(index))
    }

    @Test func keysRoundTripThroughTextAndFiles() throws {
        let keys = try KeyPair.generate()
        #expect(CurveKey(text: keys.secret.text) == keys.secret)
        #expect(CurveKey(text: "short") == nil)
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-keys-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try KeyFile.write(keys, name: "worker", toFolder: folder)
        #expect(try KeyFile.secretKey(at: "\(folder)/worker.key").public == keys.public)
        #expect(try KeyFile.publicKey(at: "\(folder)/worker.pub") == keys.public)
        #expect(throws: Failure.self) { try KeyFile.write(keys, name: "worker", toFolder: folder) }
        #expect(throws: Failure.self) { try KeyFile.publicKey(at: "\(folder)/worker.key") }
        let mistaken = #expect(throws: Failure.self) { try KeyFile.secretKey(at: keys.secret.text) }
        #expect(mistaken?.description.contains(keys.secret.text) == false, "a secret is not repeated into a log")
        chmod("\(folder)/worker.key", 0o640)
        #expect(throws: Failure.self) { try KeyFile.secretKey(at: "\(folder)/worker.key") }
        // Only root can make another user's file.
        guard chown("\(folder)/worker.key", 12_345, 12_345) == 0 else { return }
        #expect(try KeyFile.secretKey(at: "\(folder)/worker.key").public == keys.public, "handed over to a group")
        chmod("\(folder)/worker.key", 0o644)
        #expect(throws: Failure.self) { try KeyFile.secretKey(at: "\(folder)/worker.key") }
    }

    /// A server with keys, and what a client with the given keys sees of it and gets through.
    private func meet(admitted: Bool, server known: CurveKey? = nil, anonymous: Bool = false) throws
        -> (event: ConnectionEvent?, message: Socket.Message?, refusals: Int)
    {
        let serverKeys = try KeyPair.generate()
        let clientKeys = try KeyPair.generate()
        let context = try Context()
        let refusals = Counter()
        let authenticator = try Authenticator(in: context, admitting: admitted ? [clientKeys.public] : []) { _, _ in
            refusals.add()
        }
        defer { authenticator.stop() }
        var options = SocketOptions()
        options.security = .server(serverKeys)
        let router = try Socket(.router, in: context, options: options)
        try router.bind(to: "tcp://127.0.0.1:0")
        options.security = anonymous ? nil : .client(clientKeys, server: known ?? serverKeys.public)
        let dealer = try Socket(.dealer, in: context, options: options)
        let monitor = try SocketMonitor(of: dealer, in: context, name: "dealer")
        try dealer.connect(to: router.lastEndpoint())
        let event = try next(monitor, besides: [.disconnected, .retrying])
        _ = try dealer.send([5])
        let message = try next(router, seconds: event == .connected ? 10 : 0.3)
        return (event, message, refusals.value)
    }

    @Test func anAdmittedKeyGetsIn() throws {
        let (event, message, refusals) = try meet(admitted: true)
        #expect(event == .connected)
        #expect(message?.frames.last == [5])
        #expect(message?.user?.count == CurveKey.textLength)
        #expect(refusals == 0)
    }

    @Test func aKeyThatIsNotListedIsRefused() throws {
        let (event, message, refusals) = try meet(admitted: false)
        #expect(event == .refused)
        #expect(message == nil)
        #expect(refusals > 0)
    }

    @Test func aWrongServerKeyIsNoticed() throws {
        let (event, message, _) = try meet(admitted: true, server: KeyPair.generate().public)
        #expect(event == .handshakeFailed)
        #expect(message == nil)
    }

    @Test func aPeerWithoutKeysIsNoticed() throws {
        let (event, message, _) = try meet(admitted: true, anonymous: true)
        #expect(event == .handshakeMismatch || event == .handshakeFailed)
        #expect(message == nil)
    }

    @Test func aSecuredSocketWithoutAnAuthenticatorHearsNobody() throws {
        let serverKeys = try KeyPair.generate()
        var options = SocketOptions()
        options.security = .server(serverKeys)
        var clientOptions = SocketOptions()
        clientOptions.security = .client(try KeyPair.generate(), server: serverKeys.public)
        let pair = try Pair(router: options, dealer: clientOptions)
        _ = try pair.dealer.send([5])
        let message = try next(pair.router, seconds: 0.5)
        #expect(message == nil)
    }
}

/// Counts across threads.
private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    func add() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}

@Test func aNameWithoutAnAddressIsNotSomebodyWhoDoesNotListen() {
    #expect(HostName.isKnown(in: "tcp://127.0.0.1:5555") && HostName.isKnown(in: "tcp://[::1]:5555"))
    #expect(HostName.isKnown(in: "tcp://localhost:1"))
    // A name that no resolver may know (RFC 6761).
    #expect(!HostName.isKnown(in: "tcp://coordinator.invalid:5555"))
}
