/// The protocol between coordinator and workers: its version and its limits.
///
/// A message is one ZeroMQ frame, all numbers little-endian:
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | `WNNW` |
/// | 4 | 2 | wire version |
/// | 6 | 1 | type of the message |
/// | 7 | 1 | zero |
/// | 8 | … | fields of the type |
/// | end - 4 | 4 | CRC-32 of everything before it, as zlib's `crc32` gives it |
///
/// The first six and the last four bytes keep their meaning in all versions, so programs of different versions can tell
/// each other so. Workers answer a coordinator, so every exchange begins with a worker's `hello`.
public enum Wire {
    /// The version of this protocol. Any change to a message raises it; only equal versions understand each other.
    public static let version: UInt16 = 7
    /// The first bytes of every message.
    static let magic: [UInt8] = Array("WNNW".utf8)
    /// Bytes before the fields.
    static let headerBytes = 8
    /// Bytes after the fields: the checksum.
    static let trailerBytes = 4

    /// The longest message; ZeroMQ's `MAXMSGSIZE`.
    public static let messageBytesMax = 1 << 20
    /// The most bytes of a network or an image set in one chunk.
    public static let chunkBytesMax = 256 << 10
    /// The largest network or image set.
    public static let blobBytesMax: UInt64 = 16 << 30
    /// The most filters of a network.
    public static let filtersMax = 1 << 20
    /// The most masks of a run.
    public static let masksMax = 1 << 28
    /// The most masks of one lease.
    public static let masksPerLeaseMax = 4096
    /// The most leases that a worker may hold or give back in one message.
    public static let leasesPerWorkerMax = 1024
    /// The longest time that a lease may claim to have taken, in microseconds: 100 days. The times of all masks still
    /// add up.
    public static let computeMicrosecondsMax: UInt64 = 100 * 86_400 * 1_000_000
    /// The most compute threads of a worker.
    public static let threadsMax = 4096
    /// The most images per second that a worker may claim.
    public static let imagesPerSecondMax = 1e9
    /// The most bytes of a reason.
    public static let reasonBytesMax = 1024
    /// The most bytes of a name: host, instruction set, version of a program.
    public static let nameBytesMax = 255
    /// The most bytes of an ensemble's description.
    public static let ensembleBytesMax = 768 << 10
}

/// Why a message cannot be understood.
public enum WireError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It is not a message of this protocol.
    case foreign
    /// It was changed or cut on its way.
    case damaged
    /// Its sender speaks another version of this protocol.
    case otherVersion(UInt16)
    /// Its type is not one that its sender may send.
    case unknownType(UInt8)
    /// It ends within a field.
    case cut(field: String)
    /// A field is beyond its limit.
    case tooLarge(field: String, limit: Int)
    /// A field has a value without a meaning.
    case meaningless(field: String)
    /// Bytes are left after its last field.
    case trailing(Int)

    /// What is wrong, one sentence without a full stop.
    public var description: String {
        switch self {
        case .foreign: "not a message of Winnow's protocol"
        case .damaged: "a message with a wrong checksum"
        case .otherVersion(let theirs):
            "the other side speaks wire version \(theirs), this program version \(Wire.version): install the "
                + "same release of Winnow on all hosts"
        case .unknownType(let type): "a message of the unknown type \(type)"
        case .cut(let field): "a message cut short in its \(field)"
        case .tooLarge(let field, let limit): "a message whose \(field) is above the limit of \(limit)"
        case .meaningless(let field): "a message whose \(field) has no meaning"
        case .trailing(let count): "a message with \(count) bytes too many"
        }
    }
}
