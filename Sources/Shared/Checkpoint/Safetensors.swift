/// The safetensors format: the header's length as 64 bits, a JSON header, the elements of all tensors without gaps.
///
/// Reads any file whose tensors are a known network, and writes files that other tools can read too.
enum Safetensors {
    /// The longest header. ResNet-1202's takes 600 kB.
    static let headerBytesMax = 16 << 20
    /// Bytes of the header's length, at the file's start.
    static let lengthBytes = 8

    /// Whether bytes begin like this format: a possible length, then JSON's opening brace.
    static func matches(_ bytes: [UInt8]) -> Bool {
        bytes.count > lengthBytes && bytes[lengthBytes] == UInt8(ascii: "{")
            && bytes[4..<lengthBytes].allSatisfy { $0 == 0 }
    }

    // MARK: Reading

    /// Reads the tensors, in the order of their elements in the file.
    static func read(_ bytes: [UInt8]) throws -> StateDict {
        var start = ByteReader(bytes, part: "the header's length")
        let length = try start.count(bytes: lengthBytes)
        guard length <= headerBytesMax else {
            throw Failure(.badInput, "the header has \(length) bytes; the limit is \(headerBytesMax)")
        }
        guard length <= start.remaining else {
            throw Failure(
                .badInput,
                "the file is cut short: the header needs \(length) bytes from byte \(lengthBytes) on, but "
                    + "\(start.remaining) are left")
        }
        let dataStart = lengthBytes + length
        let header = try Header(JSONReader(bytes, range: lengthBytes..<dataStart))
        var state = StateDict()
        state.metadata = header.metadata
        var position = 0
        for entry in header.entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard entry.begin == position, entry.end >= entry.begin else {
                throw Failure(
                    .badInput,
                    "tensor \(entry.name) is at \(entry.begin)..<\(entry.end), but the next byte is \(position)")
            }
            position = entry.end
            guard position <= bytes.count - dataStart else {
                throw Failure(
                    .badInput,
                    "the file is cut short: tensor \(entry.name) ends at byte \(dataStart + position), the "
                        + "file at byte \(bytes.count)")
            }
            try add(entry, bytes: bytes[dataStart + entry.begin..<dataStart + entry.end], to: &state)
        }
        guard dataStart + position == bytes.count else {
            throw Failure(.badInput, "\(bytes.count - dataStart - position) bytes follow the last tensor")
        }
        return state
    }

    private static func add(_ entry: Entry, bytes: ArraySlice<UInt8>, to state: inout StateDict) throws {
        guard let type = ElementType(safetensors: entry.type) else {
            throw Failure(.badInput, "tensor \(entry.name) has the unknown type \(entry.type.prefix(20))")
        }
        do {
            let tensor = try StoredTensor(type: type, shape: entry.shape, bytes: bytes)
            guard tensor.count * type.size == bytes.count else {
                throw Failure(.badInput, "shape \(entry.shape) does not fill its \(bytes.count) bytes")
            }
            try state.add(tensor, named: entry.name)
        } catch let failure as Failure {
            throw Failure(failure.kind, "tensor \(entry.name): \(failure.description)")
        }
    }

    private struct Entry {
        let name: String
        var type = ""
        var shape: [Int] = []
        var begin = -1
        var end = -1
    }

    private struct Header {
        var entries: [Entry] = []
        var metadata: [String: String] = [:]

        init(_ text: JSONReader) throws {
            var json = text
            do {
                try json.object { json, key in
                    if key == "__metadata__" {
                        try json.object { json, name in metadata[name] = try json.string() }
                    } else {
                        entries.append(try Self.entry(key, &json))
                    }
                }
                try json.finish()
            } catch let failure as Failure {
                throw Failure(failure.kind, "the header is damaged: \(failure.description)")
            }
            guard entries.count <= StateDict.tensorsMax else {
                throw Failure(.badInput, "more than \(StateDict.tensorsMax) tensors")
            }
        }

        private static func entry(_ name: String, _ json: inout JSONReader) throws -> Entry {
            var entry = Entry(name: name)
            try json.object { json, key in
                switch key {
                case "dtype": entry.type = try json.string()
                case "shape": try json.array { json, _ in entry.shape.append(try json.integer()) }
                case "data_offsets":
                    try json.array { json, index in
                        let offset = try json.integer()
                        switch index {
                        case 0: entry.begin = offset
                        case 1: entry.end = offset
                        default: throw json.damaged("two offsets are needed")
                        }
                    }
                default: throw json.damaged("the unknown key \"\(key.prefix(40))\"")
                }
            }
            guard !entry.type.isEmpty, entry.begin >= 0, entry.end >= 0 else {
                throw json.damaged("dtype, shape and data_offsets are needed for \(name.prefix(80))")
            }
            return entry
        }
    }

    // MARK: Writing

    /// A file with the given tensors, in that order, and texts beside them. The same input gives the same bytes.
    static func write(_ tensors: [(name: String, tensor: Tensor)], metadata: [(String, String)]) -> [UInt8] {
        var header = "{\"__metadata__\":{"
        header += metadata.map { "\(JSONText.quoted($0.0)):\(JSONText.quoted($0.1))" }.joined(separator: ",") + "}"
        var position = 0
        for (name, tensor) in tensors {
            let end = position + 4 * tensor.values.count
            header += ",\(JSONText.quoted(name)):{\"dtype\":\"F32\",\"shape\":["
            header += tensor.shape.map(String.init).joined(separator: ",")
            header += "],\"data_offsets\":[\(position),\(end)]}"
            position = end
        }
        header += "}"
        // The elements start at a multiple of eight, as in files of the original library.
        header += String(repeating: " ", count: -(lengthBytes + header.utf8.count) & 7)

        var bytes: [UInt8] = []
        bytes.reserveCapacity(lengthBytes + header.utf8.count + position)
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { bytes += $0 }
        bytes += header.utf8
        for (_, tensor) in tensors {
            for value in tensor.values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
        }
        return bytes
    }
}

extension ElementType {
    /// The type of a name in a safetensors header.
    fileprivate init?(safetensors name: String) {
        switch name {
        case "F64": self = .float64
        case "F32": self = .float32
        case "F16": self = .float16
        case "BF16": self = .bfloat16
        case "I64", "U64": self = .integer(bytes: 8)
        case "I32", "U32": self = .integer(bytes: 4)
        case "I16", "U16": self = .integer(bytes: 2)
        case "I8", "U8", "BOOL": self = .integer(bytes: 1)
        default: return nil
        }
    }
}
