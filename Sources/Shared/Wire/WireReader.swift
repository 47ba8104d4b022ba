/// Reads one message, field by field; never past its end, whatever the bytes are.
struct WireReader {
    private let bytes: UnsafeRawBufferPointer
    private let end: Int
    private var offset = Wire.headerBytes
    /// The type of the message.
    let type: UInt8

    /// Checks what is common to all messages.
    init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard bytes.count <= Wire.messageBytesMax else {
            throw .tooLarge(field: "length", limit: Wire.messageBytesMax)
        }
        guard bytes.count >= Wire.headerBytes + Wire.trailerBytes, bytes.prefix(4).elementsEqual(Wire.magic) else {
            throw .foreign
        }
        end = bytes.count - Wire.trailerBytes
        let sum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: end, as: UInt32.self))
        guard sum == Checksum.of(UnsafeRawBufferPointer(rebasing: bytes[..<end])) else { throw .damaged }
        let version = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        guard version == Wire.version else { throw .otherVersion(version) }
        guard bytes[7] == 0 else { throw .meaningless(field: "eighth byte") }
        type = bytes[6]
        self.bytes = bytes
    }

    /// Bytes of fields not yet read.
    var remaining: Int { end - offset }

    /// Reads a number.
    mutating func read<Number: FixedWidthInteger>(
        _ field: String, as _: Number.Type = Number.self
    ) throws(WireError) -> Number {
        let size = Number.bitWidth / 8
        guard remaining >= size else { throw .cut(field: field) }
        defer { offset += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// Reads a number with an upper limit.
    mutating func read<Number: FixedWidthInteger>(
        _ field: String, as type: Number.Type, max limit: Int
    ) throws(WireError) -> Int {
        let value = try read(field, as: type)
        guard value >= 0, value <= limit else { throw .tooLarge(field: field, limit: limit) }
        return Int(value)
    }

    /// Reads a finite number.
    mutating func readDouble(_ field: String) throws(WireError) -> Double {
        let value = Double(bitPattern: try read(field))
        guard value.isFinite else { throw .meaningless(field: field) }
        return value
    }

    /// Reads a finite number.
    mutating func readFloat(_ field: String) throws(WireError) -> Float {
        let value = Float(bitPattern: try read(field))
        guard value.isFinite else { throw .meaningless(field: field) }
        return value
    }

    /// Reads a digest.
    mutating func readDigest(_ field: String) throws(WireError) -> Digest {
        guard let digest = Digest(bytes: try take(field, count: Digest.byteCount)) else { throw .cut(field: field) }
        return digest
    }

    /// Reads a count and that many bytes.
    mutating func readBytes(_ field: String, max limit: Int) throws(WireError) -> [UInt8] {
        try take(field, count: try read(field, as: UInt32.self, max: limit))
    }

    /// Reads a count and that many numbers, which may be infinite or NaN.
    mutating func readFloats(_ field: String, max limit: Int) throws(WireError) -> [Float] {
        let count = try readCount(field, max: limit, itemBytes: 4)
        defer { offset += 4 * count }
        let source = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + 4 * count])
        return [Float](unsafeUninitializedCapacity: count) { floats, filled in
            UnsafeMutableRawBufferPointer(floats).copyMemory(from: source)
            #if !_endian(little)
                for index in floats.indices { floats[index] = Float(bitPattern: floats[index].bitPattern.byteSwapped) }
            #endif
            filled = count
        }
    }

    /// Reads a text.
    mutating func readText(_ field: String, bytesMax: Int) throws(WireError) -> String {
        let utf8 = try take(field, count: try read(field, as: UInt16.self, max: bytesMax))
        guard let text = String(validating: utf8, as: UTF8.self) else { throw .meaningless(field: field) }
        return text
    }

    /// Reads the number of items that follow, each at least this many bytes long, before memory is allocated for them.
    mutating func readCount(_ field: String, max limit: Int, itemBytes: Int) throws(WireError) -> Int {
        let count = try read(field, as: UInt32.self, max: limit)
        guard count * itemBytes <= remaining else { throw .cut(field: field) }
        return count
    }

    /// Checks that every byte was read.
    func finish() throws(WireError) {
        guard remaining == 0 else { throw .trailing(remaining) }
    }

    private mutating func take(_ field: String, count: Int) throws(WireError) -> [UInt8] {
        guard remaining >= count else { throw .cut(field: field) }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }
}
