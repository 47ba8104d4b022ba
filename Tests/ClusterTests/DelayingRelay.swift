import Foundation
import Shared
import TestSupport
import Testing

/// A slow line between workers and a coordinator on this host: forwards TCP connections, every piece of data late and
/// in order. Unlike the kernel's queues it needs neither privileges nor modules.
final class DelayingRelay: Sendable {
    /// Where the line begins.
    let endpoint: String
    private let listener: Descriptor
    private let counter = Counter()

    /// Bytes that have come through, both ways.
    var bytesPassed: Int { counter.value }

    /// Listens for connections to `target`, like `tcp://127.0.0.1:5555`, with a delay of `milliseconds` each way.
    init(to target: String, milliseconds: ClosedRange<Int>) throws {
        let port = try #require(target.split(separator: ":").last.flatMap { UInt16($0) })
        let (listener, counter) = (try Descriptor(), counter)
        self.listener = listener
        endpoint = "tcp://127.0.0.1:\(try listener.listen())"
        _ = BackgroundThread(name: "relay") {
            var seed: UInt64 = 0
            while let near = listener.accept() {
                // If nobody listens at the end of the line, nobody seems to listen at its start.
                guard let far = try? Descriptor(), far.connect(to: port) else { continue }
                for (from, to) in [(near, far), (far, near)] {
                    seed += 1
                    Self.carry(from, to, milliseconds, seed, counter)
                }
            }
        }
    }

    deinit { listener.shutDown() }

    /// Forwards data from one end until either is closed: one thread reads, another one waits and writes.
    private static func carry(
        _ from: Descriptor, _ to: Descriptor, _ milliseconds: ClosedRange<Int>, _ seed: UInt64,
        _ counter: Counter
    ) {
        let queue = Queue()
        _ = BackgroundThread(name: "relay-in") {
            var generator = SeededGenerator(seed: seed)
            while true {
                let bytes = from.read()
                let delay = Int.random(in: milliseconds, using: &generator)
                queue.append((Date(timeIntervalSinceNow: Double(delay) / 1000), bytes))
                if bytes.isEmpty { return }
            }
        }
        _ = BackgroundThread(name: "relay-out") {
            var isOpen = true
            while isOpen {
                let piece = queue.next()
                Thread.sleep(until: piece.due)
                isOpen = !piece.bytes.isEmpty && to.write(piece.bytes)
                counter.add(piece.bytes.count)
            }
            to.shutDown()
            from.shutDown()
        }
    }

    private final class Counter: Sendable {
        private let count = Locked(0)
        var value: Int { count.withLock { $0 } }
        func add(_ more: Int) { count.withLock { $0 += more } }
    }

    /// The data in transit; an empty piece ends it.
    private final class Queue: Sendable {
        typealias Piece = (due: Date, bytes: [UInt8])
        private let pieces = Locked<[Piece]>([])
        private let arrived = DispatchSemaphore(value: 0)

        func append(_ piece: Piece) {
            pieces.withLock { $0.append(piece) }
            arrived.signal()
        }

        func next() -> Piece {
            arrived.wait()
            return pieces.withLock { $0.removeFirst() }
        }
    }

    /// A TCP socket of this host.
    private final class Descriptor: Sendable {
        private let number: Int32

        init() throws {
            number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            try #require(number >= 0)
        }

        private init(_ number: Int32) { self.number = number }

        deinit { close(number) }

        /// Calls `body` with the address of a free port of this host, and returns the port that is open afterwards.
        private func withLoopback(
            _ port: UInt16, _ body: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Int32
        ) -> UInt16? {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = withUnsafeMutablePointer(to: &address) { address in
                address.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &size) }
            }
            return result == 0 ? UInt16(bigEndian: address.sin_port) : nil
        }

        /// Listens at a free port and returns it.
        func listen() throws -> UInt16 {
            _ = try #require(withLoopback(0) { bind(number, $0, $1) })
            try #require(Glibc.listen(number, 16) == 0)
            return try #require(withLoopback(0) { getsockname(number, $0, &$1) })
        }

        func connect(to port: UInt16) -> Bool { withLoopback(port) { Glibc.connect(number, $0, $1) } != nil }

        /// The next connection; nil once it is shut down.
        func accept() -> Descriptor? {
            let connection = Glibc.accept(number, nil, nil)
            return connection < 0 ? nil : Descriptor(connection)
        }

        /// Some bytes, or none at the end.
        func read() -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                count = max(0, recv(number, buffer.baseAddress, buffer.count, 0))
            }
        }

        /// Writes all; false if nobody takes it.
        func write(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }

        func shutDown() { shutdown(number, Int32(SHUT_RDWR)) }
    }
}
