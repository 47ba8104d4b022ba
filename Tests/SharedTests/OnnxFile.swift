/// Writes ONNX files by hand, including ones that no exporter writes.
struct OnnxFile {
    /// A field of a message.
    enum Field {
        case number(Int, Int)
        case text(Int, String)
        case bytes(Int, [UInt8])
        case float(Int, Float)
        case message(Int, [Field])
    }

    /// An attribute of a node.
    enum Attribute {
        case integer(Int)
        case integers([Int])
        case float(Float)
        case text(String)
        case tensor([Field])
    }

    var nodes: [[Field]] = []
    var tensors: [[Field]] = []
    var inputs: [[Field]] = [value("x", [nil, 2, 4, 4])]
    var outputs = ["y"]
    var opset = 17
    var functions: [[Field]] = []

    /// A file whose input is `x` with the given shape after the batch, and whose output is `y`.
    init(_ shape: [Int] = [2, 4, 4], batch: Int? = nil) { inputs = [Self.value("x", [batch] + shape.map { $0 })] }

    var bytes: [UInt8] {
        let graph: [Field] =
            nodes.map { .message(1, $0) } + [.text(2, "graph")] + tensors.map { .message(5, $0) }
            + inputs.map { .message(11, $0) } + outputs.map { .message(12, [.text(1, $0)]) }
        return Self.bytes(
            [.number(1, 8), .text(2, "tests"), .message(7, graph), .message(8, [.text(1, ""), .number(2, opset)])]
                + functions.map { .message(25, $0) })
    }

    /// Adds a node that makes `output`.
    mutating func add(
        _ type: String, _ inputs: [String], _ output: String, name: String? = nil, domain: String = "",
        _ attributes: [String: Attribute] = [:]
    ) {
        add(type, inputs, [output], name: name, domain: domain, attributes)
    }

    mutating func add(
        _ type: String, _ inputs: [String], _ outputs: [String], name: String? = nil, domain: String = "",
        _ attributes: [String: Attribute] = [:]
    ) {
        nodes.append(Self.node(type, inputs, outputs, name: name ?? "node_\(type)", domain: domain, attributes))
    }

    static func node(
        _ type: String, _ inputs: [String], _ outputs: [String], name: String, domain: String = "",
        _ attributes: [String: Attribute] = [:]
    ) -> [Field] {
        inputs.map { .text(1, $0) } + outputs.map { .text(2, $0) } + [.text(3, name), .text(4, type), .text(7, domain)]
            + attributes.sorted { $0.key < $1.key }.map { .message(5, attribute($0.key, $0.value)) }
    }

    static func attribute(_ name: String, _ value: Attribute) -> [Field] {
        switch value {
        case .integer(let integer): [.text(1, name), .number(3, integer), .number(20, 2)]
        case .integers(let integers): [.text(1, name)] + integers.map { .number(8, $0) } + [.number(20, 7)]
        case .float(let float): [.text(1, name), .float(2, float), .number(20, 1)]
        case .text(let text): [.text(1, name), .text(4, text), .number(20, 3)]
        case .tensor(let tensor): [.text(1, name), .message(5, tensor), .number(20, 4)]
        }
    }

    /// Adds a tensor of floats: consecutive multiples of `step` if no values are given.
    mutating func tensor(_ name: String, _ shape: [Int], _ values: [Float]? = nil, step: Float = 0.1) {
        let count = shape.reduce(1, *)
        tensors.append(Self.floats(name, shape, values ?? (0..<count).map { Float($0 + 1) * step }))
    }

    mutating func integers(_ name: String, _ shape: [Int], _ values: [Int]) {
        tensors.append(
            shape.map { .number(1, $0) } + [.number(2, 7), .text(8, name)] + values.map { .number(7, $0) })
    }

    static func floats(_ name: String, _ shape: [Int], _ values: [Float]) -> [Field] {
        shape.map { .number(1, $0) } + [.number(2, 1), .text(8, name), .bytes(9, raw(values.map(\.bitPattern)))]
    }

    static func raw<Bits: FixedWidthInteger>(_ values: [Bits]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    }

    static func value(_ name: String, _ shape: [Int?]) -> [Field] {
        let dimensions = shape.map { Field.message(1, [$0.map { .number(1, $0) } ?? .text(2, "n")]) }
        return [.text(1, name), .message(2, [.message(1, [.number(1, 1), .message(2, dimensions)])])]
    }

    static func bytes(_ fields: [Field]) -> [UInt8] {
        fields.flatMap { field -> [UInt8] in
            switch field {
            case .number(let number, let value):
                varint(UInt64(number << 3)) + varint(UInt64(bitPattern: Int64(value)))
            case .text(let number, let text): bytes([.bytes(number, Array(text.utf8))])
            case .bytes(let number, let value):
                varint(UInt64(number << 3 | 2)) + varint(UInt64(value.count)) + value
            case .float(let number, let value): varint(UInt64(number << 3 | 5)) + raw([value.bitPattern])
            case .message(let number, let inner): bytes([.bytes(number, bytes(inner))])
            }
        }
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F | 0x80)] + varint(value >> 7)
    }
}
