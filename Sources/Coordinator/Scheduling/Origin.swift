/// Where a peer comes from, as far as it cannot forge that: its CURVE key, and the address that it connects from.
///
/// Names, identities and numbers of threads are only claims. So votes on a mask count per ``witness``, and deaths per
/// key and address together.
public struct Origin: Sendable, Hashable {
    /// The public key that it proved to hold, as text; nil without keys.
    public let key: String?
    /// Its address, without the port.
    public let address: String
    /// Whether it is a worker that this coordinator started itself and trusts like itself.
    public let isOwn: Bool

    /// An origin.
    public init(key: String?, address: String, isOwn: Bool = false) {
        self.key = key
        self.address = address
        self.isOwn = isOwn
    }

    /// Who speaks, however many workers it has: the holder of a key, or without keys the host.
    public var witness: String { isOwn ? Self.ownHost : key ?? address }

    /// What stays of it after the coordinator's life: the key of its own workers is made anew for each.
    var lasting: Origin { isOwn ? Origin(key: nil, address: Self.ownHost) : self }

    /// Who speaks where a coordinator started the worker itself; no address of a peer is written so.
    private static let ownHost = "this host"
}
