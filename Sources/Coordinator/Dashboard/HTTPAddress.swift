import Foundation
import Shared

/// A numeric address to listen on: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
struct HTTPAddress: Sendable, Equatable, CustomStringConvertible {
    /// An IPv4 or IPv6 address without brackets.
    let host: String
    /// 0 takes a free one.
    let port: UInt16

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads an address, `localhost` as 127.0.0.1. Throws a `.usage` ``Failure``.
    init(parsing text: String) throws {
        let fault = Failure(.usage, "--http must be ADDRESS:PORT, for example 127.0.0.1:8080, not '\(text)'")
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw fault
        }
        var host = String(text[..<colon])
        if host == "localhost" { host = "127.0.0.1" }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.init(host: host, port: port)
        guard socketAddress != nil else { throw fault }
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Where a browser finds it.
    var url: String { "http://\(self)/" }

    /// Whether only this machine can reach it.
    var isLoopback: Bool { host == "::1" || host.hasPrefix("127.") }

    /// Whether a request's `Host` names this machine, with or without a port.
    static func isLoopback(hostHeader: String) -> Bool {
        var host = hostHeader[...]
        if let colon = host.lastIndex(of: ":"), host[host.index(after: colon)...].allSatisfy(\.isNumber) {
            host = host[..<colon]
        }
        return ["localhost", "127.0.0.1", "[::1]"].contains(String(host))
    }

    /// Calls with the address in the system's form. It was validated when parsed.
    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>) throws -> Result) rethrows -> Result {
        guard var storage = socketAddress else { preconditionFailure("not an address: \(self)") }
        return try withUnsafePointer(to: &storage) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0) }
        }
    }

    private var socketAddress: sockaddr_storage? {
        var storage = sockaddr_storage()
        let port = self.port.bigEndian
        let isKnown = withUnsafeMutableBytes(of: &storage) { bytes -> Bool in
            var four = sockaddr_in()
            var six = sockaddr_in6()
            if inet_pton(AF_INET, host, &four.sin_addr) == 1 {
                four.sin_family = sa_family_t(AF_INET)
                four.sin_port = port
                withUnsafeBytes(of: four) { bytes.copyMemory(from: $0) }
                return true
            }
            if inet_pton(AF_INET6, host, &six.sin6_addr) == 1 {
                six.sin6_family = sa_family_t(AF_INET6)
                six.sin6_port = port
                withUnsafeBytes(of: six) { bytes.copyMemory(from: $0) }
                return true
            }
            return false
        }
        return isKnown ? storage : nil
    }
}
