import Shared

/// An ONNX graph under construction. Field numbers are those of `onnx.proto`.
struct OnnxGraph {
    /// An attribute of an operator.
    enum Attribute {
        case integer(Int)
        case integers([Int])
        case float(Float)
    }

    private enum ElementType {
        static let float = 1
        static let int64 = 7
    }

    private enum AttributeType {
        static let float = 1
        static let integer = 2
        static let integers = 7
    }

    private var nodes: [[UInt8]] = []
    private var constants: [[UInt8]] = []

    /// Adds an operator with one output and returns the output's name.
    @discardableResult
    mutating func node(
        _ type: String, _ inputs: [String], output: String, _ attributes: KeyValuePairs<String, Attribute> = [:]
    ) -> String {
        node(type, inputs, output: output, attributes.map { ($0.key, $0.value) })
    }

    /// The same with a list of attributes.
    @discardableResult
    mutating func node(
        _ type: String, _ inputs: [String], output: String, _ attributes: [(String, Attribute)]
    ) -> String {
        var node = ProtobufWriter()
        for input in inputs { node.text(1, input) }
        node.text(2, output)
        node.text(3, output)
        node.text(4, type)
        for (name, value) in attributes {
            node.message(5) { attribute in
                attribute.text(1, name)
                switch value {
                case .float(let value):
                    attribute.float(2, value)
                    attribute.integer(20, AttributeType.float)
                case .integer(let value):
                    attribute.integer(3, value)
                    attribute.integer(20, AttributeType.integer)
                case .integers(let values):
                    for value in values { attribute.integer(8, value) }
                    attribute.integer(20, AttributeType.integers)
                }
            }
        }
        nodes.append(node.bytes)
        return output
    }

    /// Adds a constant tensor and returns its name.
    @discardableResult
    mutating func constant(_ name: String, _ tensor: Tensor) -> String {
        var raw: [UInt8] = []
        raw.reserveCapacity(4 * tensor.values.count)
        for value in tensor.values {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { raw.append(contentsOf: $0) }
        }
        return constant(name, shape: tensor.shape, type: ElementType.float, raw: raw)
    }

    /// Adds a constant vector of integers and returns its name.
    mutating func constant(_ name: String, _ values: [Int]) -> String {
        var raw: [UInt8] = []
        for value in values {
            withUnsafeBytes(of: Int64(value).littleEndian) { raw.append(contentsOf: $0) }
        }
        return constant(name, shape: [values.count], type: ElementType.int64, raw: raw)
    }

    private mutating func constant(_ name: String, shape: [Int], type: Int, raw: [UInt8]) -> String {
        var tensor = ProtobufWriter()
        for extent in shape { tensor.integer(1, extent) }
        tensor.integer(2, type)
        tensor.text(8, name)
        tensor.data(9, raw)
        constants.append(tensor.bytes)
        return name
    }

    /// Writes the graph's fields. Shapes omit the batch, whose size is free.
    func write(
        to writer: inout ProtobufWriter, name: String, input: (name: String, shape: [Int]),
        output: (name: String, shape: [Int])
    ) {
        for node in nodes { writer.data(1, node) }
        writer.text(2, name)
        for constant in constants { writer.data(5, constant) }
        writer.message(11) { Self.write(input.name, input.shape, to: &$0) }
        writer.message(12) { Self.write(output.name, output.shape, to: &$0) }
    }

    private static func write(_ name: String, _ shape: [Int], to value: inout ProtobufWriter) {
        value.text(1, name)
        value.message(2) { type in
            type.message(1) { tensor in
                tensor.integer(1, ElementType.float)
                tensor.message(2) { extents in
                    extents.message(1) { $0.text(2, "batch") }
                    for extent in shape { extents.message(1) { $0.integer(1, extent) } }
                }
            }
        }
    }
}
