/// Writes one message, field after field.
struct WireWriter {
    private var bytes: [UInt8] = []

    /// Starts a message of a type; `capacity` is the expected number of bytes of its fields.
    init(type: UInt8, capacity: Int = 64) {
        bytes.reserveCapacity(Wire.headerBytes + capacity + Wire.trailerBytes)
        bytes += Wire.magic
        write(Wire.version)
        bytes.append(type)
        bytes.append(0)
    }

    /// Appends a number.
    mutating func write(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends a number by its bits.
    mutating func write(_ value: Double) { write(value.bitPattern) }

    /// Appends a number by its bits.
    mutating func write(_ value: Float) { write(value.bitPattern) }

    /// Appends a digest.
    mutating func write(_ digest: Digest) { bytes += digest.bytes }

    /// Appends a count and that many bytes.
    mutating func write(_ data: [UInt8]) {
        write(UInt32(data.count))
        bytes += data
    }

    /// Appends a count and that many numbers by their bits.
    mutating func write(_ floats: [Float]) {
        write(UInt32(floats.count))
        #if _endian(little)
            floats.withUnsafeBytes { bytes.append(contentsOf: $0) }
        #else
            for float in floats { write(float) }
        #endif
    }

    /// Appends a text, truncated to its limit.
    mutating func write(_ text: String, bytesMax: Int) {
        var utf8 = Array(text.utf8.prefix(bytesMax))
        // A character cut in two would not be read back.
        if utf8.count < text.utf8.count { while String(validating: utf8, as: UTF8.self) == nil { utf8.removeLast() } }
        write(UInt16(utf8.count))
        bytes += utf8
    }

    /// The whole message.
    consuming func finished() -> [UInt8] {
        let sum = bytes.withUnsafeBytes { Checksum.of($0) }
        write(sum)
        precondition(bytes.count <= Wire.messageBytesMax, "a message must fit its limit")
        return bytes
    }
}

extension Wire {
    /// A message of any type and fields with the right header and checksum, for testing the decoder.
    public static func frame(type: UInt8, fields: some Sequence<UInt8>) -> [UInt8] {
        var writer = WireWriter(type: type)
        for byte in fields { writer.write(byte) }
        return writer.finished()
    }
}
