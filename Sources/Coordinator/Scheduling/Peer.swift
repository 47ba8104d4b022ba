/// One connection of a worker, as the ROUTER socket names it.
///
/// The socket draws five bytes for each connection, which fit here; a peer that chose a name of its own is not one of
/// ours and does not get this far. A worker that reconnects is another peer.
public struct Peer: Sendable, Hashable, CustomStringConvertible {
    /// The routing id's bytes as a number.
    public let id: UInt64

    /// A peer.
    public init(id: UInt64) { self.id = id }

    /// The number.
    public var description: String { "peer \(id)" }
}
