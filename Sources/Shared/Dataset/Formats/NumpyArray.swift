import Foundation

/// An array in NumPy's `.npy` form, read from the front.
struct NumpyArray {
    /// What its values are.
    enum Element: Equatable {
        case uint8
        case float32
        case integer(bytes: Int, isSigned: Bool)
        case float64

        var bytes: Int {
            switch self {
            case .uint8: 1
            case .float32: 4
            case .integer(let bytes, _): bytes
            case .float64: 8
            }
        }
    }

    /// The longest header; NumPy reads 10,000 bytes.
    private static let headerBytesMax = 1 << 16
    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

    let element: Element
    let shape: [Int]
    /// Positioned after the header.
    let file: any ByteSource

    /// The number of values.
    let count: Int

    /// Reads a header. Throws a `.badInput` ``Failure`` if it is not an array of numbers in C order, or the file cannot
    /// hold it.
    init(_ file: any ByteSource) throws {
        func wrong(_ what: String) -> Failure { Failure(.badInput, "\(file.name) \(what)") }
        let start = try file.bytes(8)
        guard Array(start[..<6]) == Self.magic, (1...3).contains(start[6]) else { throw wrong("is not a NumPy array") }
        let lengthBytes = start[6] == 1 ? 2 : 4
        let length = try file.bytes(lengthBytes).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.headerBytesMax else { throw wrong("has a header of \(length) bytes") }
        guard let header = String(validating: try file.bytes(length), as: UTF8.self) else {
            throw wrong("has a header that is not text")
        }
        guard let match = header.firstMatch(of: /'descr':\s*'([^']*)'/) else {
            throw wrong("is an array of records; an array of numbers is needed")
        }
        element = try Self.element(String(match.1), wrong)
        guard header.contains(/'fortran_order':\s*False/) else {
            throw wrong("is in Fortran order; convert it with np.ascontiguousarray(…)")
        }
        guard let extents = header.firstMatch(of: /'shape':\s*\(([0-9, ]*)\)/) else { throw wrong("has no shape") }
        let words = extents.1.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        shape = words.filter { !$0.isEmpty }.map { Int($0) ?? .max }
        var bytes = element.bytes
        for extent in shape {
            let (product, overflows) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflows else { throw wrong("has the shape \(shape), which is too large") }
            bytes = product
        }
        guard bytes <= file.bytesMax else {
            throw wrong("is cut short: it cannot hold the \(bytes) bytes of its shape \(shape)")
        }
        count = bytes / element.bytes
        self.file = file
    }

    private static func element(_ type: String, _ wrong: (String) -> Failure) throws -> Element {
        if type.hasPrefix(">") { throw wrong("has big-endian numbers; convert it with .astype(…)") }
        switch type.drop(while: { "<|=".contains($0) }) {
        case "u1": return .uint8
        case "f4": return .float32
        case "f8": return .float64
        case "b1": return .integer(bytes: 1, isSigned: false)
        case "i1": return .integer(bytes: 1, isSigned: true)
        case "u2": return .integer(bytes: 2, isSigned: false)
        case "i2": return .integer(bytes: 2, isSigned: true)
        case "u4": return .integer(bytes: 4, isSigned: false)
        case "i4": return .integer(bytes: 4, isSigned: true)
        case "u8": return .integer(bytes: 8, isSigned: false)
        case "i8": return .integer(bytes: 8, isSigned: true)
        case "O": throw wrong("holds Python objects, which are never read; save an array of numbers")
        default: throw wrong("has values of type \(type); supported are uint8 or float32 pixels and integer labels")
        }
    }

    /// All values as integers. Throws a `.badInput` ``Failure`` if they are not integers.
    func integers() throws -> [Int] {
        let isSigned: Bool
        switch element {
        case .uint8: isSigned = false
        case .integer(_, let signed): isSigned = signed
        case .float32, .float64:
            throw Failure(
                .badInput, "\(file.name) holds floats; labels must be integers: convert it with .astype(np.int64)")
        }
        let bytes = try file.bytes(count * element.bytes)
        try file.finish()
        let size = element.bytes
        return (0..<count).map { index in
            var value = isSigned && bytes[(index + 1) * size - 1] & 0x80 != 0 ? UInt64.max : 0
            for byte in bytes[index * size..<(index + 1) * size].reversed() { value = value << 8 | UInt64(byte) }
            return isSigned ? Int(Int64(bitPattern: value)) : Int(clamping: value)
        }
    }

    /// All values as floats. Throws a `.badInput` ``Failure``.
    func floats() throws -> [Float] {
        let bytes = try file.bytes(count * element.bytes)
        try file.finish()
        return try bytes.withUnsafeBytes { raw in
            switch element {
            case .float32: (0..<count).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            case .float64: (0..<count).map { Float(raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)) }
            case .uint8, .integer: throw Failure(.badInput, "\(file.name) holds integers, but floats are needed")
            }
        }
    }

    /// The magic bytes and the header of an array with this many values.
    static func header(_ type: String, shape: [Int]) -> [UInt8] {
        let extents = shape.map { "\($0)," }.joined(separator: " ")
        var text = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(extents)), }"
        // The values begin at a multiple of 64 bytes.
        let before = magic.count + 4
        text += String(repeating: " ", count: 63 - (before + text.utf8.count) % 64) + "\n"
        return magic + [1, 0, UInt8(text.utf8.count & 0xFF), UInt8(text.utf8.count >> 8)] + Array(text.utf8)
    }
}
