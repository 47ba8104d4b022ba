/// One connection of a worker, by the ROUTER socket's name for it.
///
/// The socket draws five bytes for each connection, which fit here; a peer that chose its own name is not one of ours
/// and does not get this far. A worker that reconnects is another peer.
public struct Peer: Sendable, Hashable, CustomStringConvertible {
    /// The routing id's bytes as a number.
    public let id: UInt64

    /// A peer.
    public init(id: UInt64) { self.id = id }

    /// The number.
    public var description: String { "peer \(id)" }
}
