/// Writes messages in Protocol Buffers' wire format: the three kinds of fields that ONNX's messages need.
///
/// Handwritten rather than generated: a writer for just our output is this small, and needs no schema compiler on every
/// machine that builds Winnow. Field numbers are those of `onnx.proto`; the tests read the result with onnxruntime.
struct ProtobufWriter {
    /// What has been written.
    private(set) var bytes: [UInt8] = []

    private enum WireType: UInt64 {
        case varint = 0
        case lengthDelimited = 2
        case fixed32 = 5
    }

    /// An integer field.
    mutating func integer(_ field: UInt64, _ value: Int) {
        tag(field, .varint)
        varint(UInt64(bitPattern: Int64(value)))
    }

    /// A 32-bit floating-point field.
    mutating func float(_ field: UInt64, _ value: Float) {
        tag(field, .fixed32)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A field of text.
    mutating func text(_ field: UInt64, _ value: String) {
        data(field, Array(value.utf8))
    }

    /// A field of bytes.
    mutating func data(_ field: UInt64, _ value: [UInt8]) {
        tag(field, .lengthDelimited)
        varint(UInt64(value.count))
        bytes += value
    }

    /// A field that is a message.
    mutating func message(_ field: UInt64, _ write: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        write(&inner)
        data(field, inner.bytes)
    }

    private mutating func tag(_ field: UInt64, _ type: WireType) {
        varint(field << 3 | type.rawValue)
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
