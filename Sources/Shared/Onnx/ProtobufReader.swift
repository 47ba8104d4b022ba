/// Reads one message of Protocol Buffers' wire format field by field, without copying and without recursion.
///
/// Handwritten, because no library in Debian can be bounded: libprotobuf takes 148 bytes for an empty message of two,
/// so a file of a gigabyte would take 74, and protobuf-c recurses into nested messages until the stack overflows. Here
/// a field is a range of the file, and the caller decides what it becomes.
struct ProtobufReader {
    /// What a field holds.
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        /// Text, bytes, packed numbers or a message: their range.
        case bytes(Range<Int>)
    }

    private enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case fixed32 = 5
    }

    private let bytes: [UInt8]
    private let end: Int
    /// The part being read, for errors.
    private let part: String
    /// The next byte's place.
    private(set) var position: Int

    /// Reads the message in a range of bytes.
    init(_ bytes: [UInt8], _ range: Range<Int>, part: String) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a message lies within its bytes")
        self.bytes = bytes
        self.part = part
        position = range.lowerBound
        end = range.upperBound
    }

    /// Whether all fields have been read.
    var isAtEnd: Bool { position >= end }

    /// The next field, or nil after the last. Throws if the message is damaged.
    mutating func next() throws -> (number: UInt64, value: Value)? {
        guard position < end else { return nil }
        let tag = try varint()
        guard let type = WireType(rawValue: tag & 7), tag >> 3 > 0 else { throw damaged("an unknown kind of field") }
        switch type {
        case .varint: return (tag >> 3, .varint(try varint()))
        case .fixed32: return (tag >> 3, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        case .fixed64: return (tag >> 3, .fixed64(try fixed(8)))
        case .lengthDelimited:
            let length = try varint()
            guard length <= UInt64(end - position) else {
                throw damaged("a length of \(length), but \(end - position) bytes are left; is the file cut short?")
            }
            defer { position += Int(length) }
            return (tag >> 3, .bytes(position..<position + Int(length)))
        }
    }

    /// A variable-length integer.
    mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
            guard shift < 64 else { throw damaged("a number of more than 64 bits") }
        }
        throw damaged("a number that is cut short")
    }

    /// A little-endian integer of this many bytes.
    mutating func fixed(_ count: Int) throws -> UInt64 {
        guard count <= end - position else { throw damaged("a number that is cut short") }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
        position += count
        return value
    }

    private func damaged(_ what: String) -> Failure {
        Failure(.badInput, "\(part) is damaged at byte \(position): \(what)")
    }
}
