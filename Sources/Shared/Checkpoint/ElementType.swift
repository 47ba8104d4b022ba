/// The number format of a stored tensor.
enum ElementType: Hashable, Sendable {
    case float64
    case float32
    case float16
    case bfloat16
    /// An integer or boolean of this many bytes: counters beside the parameters.
    case integer(bytes: Int)

    /// Bytes of one element.
    var size: Int {
        switch self {
        case .float64: 8
        case .float32: 4
        case .float16, .bfloat16: 2
        case .integer(let bytes): bytes
        }
    }

    /// Converts one little-endian element of a type with ``isFloat``.
    @inline(__always)
    func float(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Float {
        switch self {
        case .float64:
            return Float(
                Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))))
        case .float32:
            return Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        case .float16:
            return Float(
                Float16(bitPattern: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))))
        case .bfloat16:
            let high = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            return Float(bitPattern: UInt32(high) << 16)
        case .integer:
            preconditionFailure("integers are not parameters")
        }
    }

    /// Whether its elements can be parameters.
    var isFloat: Bool {
        if case .integer = self { false } else { true }
    }
}
