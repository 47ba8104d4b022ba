/// Reads a run of bytes from the front and never past its end.
struct ByteReader {
    private let bytes: [UInt8]
    /// The next byte's offset.
    private(set) var position: Int
    private let end: Int
    /// The part being read, for the error about a file cut short.
    var part: String

    /// Reads `bytes`, or a range of them.
    init(_ bytes: [UInt8], range: Range<Int>? = nil, part: String) {
        let range = range ?? 0..<bytes.count
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range outside of the bytes")
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
        self.part = part
    }

    /// Bytes that are left.
    var remaining: Int { end - position }

    mutating func byte() throws -> UInt8 {
        try require(1)
        defer { position += 1 }
        return bytes[position]
    }

    /// An unsigned little-endian integer of 1…8 bytes.
    mutating func unsigned(bytes count: Int) throws -> UInt64 {
        try require(count)
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
        position += count
        return value
    }

    /// A little-endian count of 1…8 bytes; an impossibly large one counts as a file cut short.
    mutating func count(bytes size: Int) throws -> Int {
        Int(clamping: try unsigned(bytes: size))
    }

    /// The next `count` bytes.
    mutating func slice(_ count: Int) throws -> ArraySlice<UInt8> {
        try require(count)
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// The bytes up to the next line feed, which is skipped.
    mutating func line(bytesMax: Int) throws -> ArraySlice<UInt8> {
        let limit = min(end, position + bytesMax)
        guard let feed = bytes[position..<limit].firstIndex(of: 0x0A) else {
            throw Failure(.badInput, "\(part) holds an unterminated line at byte \(position)")
        }
        defer { position = feed + 1 }
        return bytes[position..<feed]
    }

    private func require(_ count: Int) throws {
        guard count >= 0, count <= remaining else {
            throw Failure(
                .badInput,
                "the file is cut short: \(part) needs \(count) bytes from byte \(position) on, but "
                    + "\(remaining) are left"
            )
        }
    }
}
