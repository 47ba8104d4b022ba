import Foundation

/// Whether the host of an endpoint has an address.
public enum HostName {
    /// Asks the system's resolver for the host of `tcp://HOST:PORT`, which may take seconds. Any other endpoint counts
    /// as known: others reject it.
    public static func isKnown(in endpoint: String) -> Bool {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return true }
        let start = endpoint.index(endpoint.startIndex, offsetBy: "tcp://".count)
        guard start < colon else { return true }
        let host = endpoint[start..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        var found: UnsafeMutablePointer<addrinfo>?
        defer { if let found { freeaddrinfo(found) } }
        return getaddrinfo(host, nil, nil, &found) == 0
    }
}
