import Foundation

/// Where to listen or connect: `tcp://HOST:PORT`.
///
/// libzmq accepts much that nobody means: a port of 99999 or `80a`, a slash at the end, a `*` to connect to. Such an
/// endpoint is refused here, with a clear error.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// A name or a numeric address, IPv6 without its brackets; `*` listens at all addresses.
    public let host: String
    /// The port; 0 listens at any free one.
    public let port: UInt16

    private static let scheme = "tcp://"

    /// Makes an endpoint.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Where to connect to. Throws a `.usage` ``Failure`` that names the option.
    public init(connectingTo text: String, option: String) throws {
        try self.init(text, option, example: "tcp://192.168.0.7:5555")
        guard host != "*", port != 0 else {
            throw Failure(.usage, "\(option) \(text) names no host and port to connect to, such as tcp://HOST:5555")
        }
    }

    /// Where to listen; `*` as port takes any free one. Throws a `.usage` ``Failure`` that names the option.
    public init(listeningAt text: String, option: String) throws {
        let text = text.hasSuffix(":*") ? text.dropLast() + "0" : text
        try self.init(text, option, example: "tcp://0.0.0.0:5555")
    }

    private init(_ text: String, _ option: String, example: String) throws {
        func fault(_ reason: String) -> Failure {
            Failure(.usage, "\(option) must be \(Self.scheme)HOST:PORT, such as \(example), not '\(text)': \(reason)")
        }
        guard text.hasPrefix(Self.scheme) else { throw fault("it does not begin with \(Self.scheme)") }
        let rest = text.dropFirst(Self.scheme.count)
        guard let colon = rest.lastIndex(of: ":") else { throw fault("it has no port") }
        let digits = rest[rest.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else {
            throw fault("'\(digits)' is not a port from 0 to 65535")
        }
        var host = rest[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { throw fault("only IPv6 addresses stand in brackets") }
        } else if host.contains(":") {
            throw fault("an IPv6 address needs brackets, such as tcp://[::1]:5555")
        }
        guard !host.isEmpty, host.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-._:*%".contains($0)) })
        else { throw fault("'\(host)' is not a host") }
        guard host == "*" || !host.contains("*") else { throw fault("'\(host)' is not a host") }
        self.init(host: String(host), port: port)
    }

    /// The endpoint in ZeroMQ's syntax.
    public var description: String {
        Self.scheme + (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
    }

    /// The same with a numeric address in place of a name, IPv4 if there is one: ZeroMQ listens at addresses and
    /// interfaces, not at names. Throws a `.usage` ``Failure`` if the name has no address.
    public func resolved(option: String) throws -> Endpoint {
        guard host != "*", !isNumeric, if_nametoindex(host) == 0 else { return self }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &found)
        defer { if let found { freeaddrinfo(found) } }
        guard code == 0 else {
            throw Failure(.usage, "\(option) \(self): \(host) has no address: \(String(cString: gai_strerror(code)))")
        }
        let candidates = sequence(first: found) { $0?.pointee.ai_next }.prefix { $0 != nil }.compactMap { $0?.pointee }
        guard let best = candidates.first(where: { $0.ai_family == AF_INET }) ?? candidates.first else {
            throw Failure(.usage, "\(option) \(self): \(host) has no address")
        }
        var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard
            getnameinfo(best.ai_addr, best.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
        else { throw Failure(.usage, "\(option) \(self): the address of \(host) cannot be read") }
        return Endpoint(
            host: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), port: port)
    }

    /// Whether the host is an address in numbers.
    public var isNumeric: Bool { ipv4 != nil || host.contains(":") }

    /// Whether only this host can reach it.
    public var isLoopback: Bool { host == "localhost" || host == "::1" || host == "lo" || ipv4?.first == 127 }

    /// The four numbers of an IPv4 address; nil if the host is not one.
    public var ipv4: [UInt8]? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt8($0) }
        return parts.count == 4 && numbers.count == 4 ? numbers : nil
    }
}
