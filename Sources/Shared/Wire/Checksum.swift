/// CRC-32 as in zlib, PNG and Ethernet (polynomial 0x04C11DB7, reflected), eight bytes at a time.
public enum Checksum {
    /// Entry `256 k + b`: the remainder of byte `b` followed by `k` zero bytes.
    private static let table: [UInt32] = {
        var table = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
            table[byte] = value
        }
        for index in 256..<table.count {
            let shorter = table[index - 256]
            table[index] = table[Int(shorter & 0xFF)] ^ shorter >> 8
        }
        return table
    }()

    /// The checksum of some bytes.
    public static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            var value: UInt32 = 0xFFFF_FFFF
            var offset = 0
            while offset + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                var rest = word ^ UInt64(value)
                value = 0
                for zeros in stride(from: 7, through: 0, by: -1) {
                    value ^= table[zeros << 8 | Int(rest & 0xFF)]
                    rest >>= 8
                }
                offset += 8
            }
            while offset < bytes.count {
                value = table[Int(UInt8(truncatingIfNeeded: value) ^ bytes[offset])] ^ value >> 8
                offset += 1
            }
            return ~value
        }
    }
}
