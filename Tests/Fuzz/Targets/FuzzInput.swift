import Shared

/// Draws decisions from a fuzzer's bytes, so it can steer a target; zeros after the last.
struct FuzzInput {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// A number below a limit of at most 256.
    mutating func below(_ limit: Int) -> Int { Int(byte()) % limit }

    mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number {
        var value: Number = 0
        for _ in 0..<Number.bitWidth / 8 {
            value = Number(truncatingIfNeeded: UInt64(truncatingIfNeeded: value) << 8 | UInt64(byte()))
        }
        return value
    }

    /// A count of two bytes and this many bytes, or all that are left.
    mutating func block() -> [UInt8] {
        let count = min(Int(number(UInt16.self)), bytes.count - min(offset, bytes.count))
        defer { offset += count }
        return Array(bytes[min(offset, bytes.count)..<min(offset, bytes.count) + count])
    }
}
