extension Onnx {
    /// The parts of an ONNX file that are read: its graph and functions, with the tensors left in place.
    struct Model {
        /// The whole file.
        let bytes: [UInt8]
        /// The version of ONNX's own operators, or nil if the file does not say it.
        var opset: Int?
        /// The program that wrote the file, for example `pytorch`.
        var producer = ""
        /// Texts beside the graph.
        var metadata: [String: String] = [:]
        var graph = MainGraph()
        /// The model's own operators, by ``Node/operatorKey``.
        var functions: [String: Function] = [:]
    }

    /// The main graph.
    struct MainGraph {
        var nodes: [Node] = []
        var initializers: [String: StoredTensor] = [:]
        var inputs: [Input] = []
        var outputs: [String] = []
    }

    /// An operator of the model's own, made of others.
    struct Function {
        var name = ""
        var domain = ""
        var overload = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var nodes: [Node] = []
        /// Defaults of attributes that a caller omits.
        var defaults: [String: Attribute] = [:]
    }

    /// One use of an operator.
    struct Node {
        /// Its place among its graph's nodes.
        var index = 0
        var name = ""
        var type = ""
        var domain = ""
        var overload = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var attributes: [String: Attribute] = [:]

        /// Identifies an operator.
        var operatorKey: String { [domain, type, overload].joined(separator: "\u{0}") }

        /// The node in messages: its name and its operator.
        var label: String { name.isEmpty ? "\(index) (\(type))" : "\(name) (\(type))" }
    }

    /// An attribute of a node.
    enum Attribute {
        case float(Float)
        case integer(Int)
        case text(String)
        case floats([Float])
        case integers([Int])
        case tensor(StoredTensor)
        /// The value that the function's caller gives to the attribute of this name.
        case reference(String)
        /// A graph, texts or types: no supported operator has these.
        case other
    }

    /// An input of the graph.
    struct Input {
        var name = ""
        /// Its dimensions, nil for a symbolic one; nil if the file does not give the rank.
        var dimensions: [Int?]?
        /// What symbolic dimensions are called.
        var symbols: [String] = []
    }
}

extension Onnx.Model {
    /// Limits on what is read from a file, so a small one cannot consume much memory.
    private enum Limit {
        /// Nodes, inputs, attributes and other parts in all; unoptimised Inception-v3 has 5,000.
        static let parts = 1 << 20
        /// Numbers of one attribute: pads, axes, shapes.
        static let numbers = 1 << 12
        /// Bytes of one name.
        static let nameBytes = 1 << 10
    }

    /// Reads a file's messages. Throws a `.badInput` ``Failure`` if they are damaged or too many.
    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        var parser = Parser(bytes: bytes)
        var graphs: [Range<Int>] = []
        try parser.message(0..<bytes.count, "the model") { parser, field, value in
            switch (field, value) {
            case (2, .bytes(let range)): producer = try parser.text(range)
            case (7, .bytes(let range)): graphs.append(range)
            case (8, .bytes(let range)):
                let (domain, version) = try parser.operatorSet(range)
                if Onnx.isOwnDomain(domain) { opset = version }
            case (14, .bytes(let range)):
                // Descriptive texts may be longer than any that matters here.
                if let (key, text) = try? parser.entry(range) { metadata[key] = text }
            case (25, .bytes(let range)):
                let function = try parser.function(range)
                functions[[function.domain, function.name, function.overload].joined(separator: "\u{0}")] = function
            default: break
            }
        }
        guard graphs.count == 1 else {
            throw Failure(.badInput, graphs.isEmpty ? "the model has no graph" : "the model has several graphs")
        }
        graph = try parser.graph(graphs[0])
    }

    /// Reads messages and counts their parts.
    private struct Parser {
        let bytes: [UInt8]
        private var parts = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func message(
            _ range: Range<Int>, _ part: String, _ read: (inout Parser, UInt64, ProtobufReader.Value) throws -> Void
        ) throws {
            var reader = ProtobufReader(bytes, range, part: part)
            while let (number, value) = try reader.next() {
                parts += 1
                guard parts <= Limit.parts else {
                    throw Failure(.badInput, "the model has more than \(Limit.parts) parts")
                }
                try read(&self, number, value)
            }
        }

        func text(_ range: Range<Int>) throws -> String {
            guard range.count <= Limit.nameBytes else {
                throw Failure(.badInput, "a name at byte \(range.lowerBound) has more than \(Limit.nameBytes) bytes")
            }
            return String(decoding: bytes[range], as: UTF8.self)
        }

        mutating func operatorSet(_ range: Range<Int>) throws -> (domain: String, version: Int) {
            var domain = ""
            var version = 0
            try message(range, "an operator set") { parser, field, value in
                switch (field, value) {
                case (1, .bytes(let range)): domain = try parser.text(range)
                case (2, .varint(let number)): version = Int(truncatingIfNeeded: number)
                default: break
                }
            }
            return (domain, version)
        }

        mutating func graph(_ range: Range<Int>) throws -> Onnx.MainGraph {
            var graph = Onnx.MainGraph()
            try message(range, "the graph") { parser, field, value in
                guard case .bytes(let range) = value else { return }
                switch field {
                case 1: graph.nodes.append(try parser.node(range, index: graph.nodes.count))
                case 5:
                    let tensor = try parser.tensor(range)
                    guard graph.initializers.updateValue(tensor, forKey: tensor.name) == nil else {
                        throw Failure(.badInput, "two tensors have the name \(tensor.name)")
                    }
                case 11: graph.inputs.append(try parser.input(range))
                case 12: graph.outputs.append(try parser.input(range).name)
                case 15: throw Failure(.badInput, "the model has sparse tensors; export it with dense ones")
                default: break
                }
            }
            return graph
        }

        mutating func function(_ range: Range<Int>) throws -> Onnx.Function {
            var function = Onnx.Function()
            try message(range, "a function") { parser, field, value in
                guard case .bytes(let range) = value else { return }
                switch field {
                case 1: function.name = try parser.text(range)
                case 4: function.inputs.append(try parser.text(range))
                case 5: function.outputs.append(try parser.text(range))
                case 7: function.nodes.append(try parser.node(range, index: function.nodes.count))
                case 10: function.domain = try parser.text(range)
                case 11:
                    let (name, attribute) = try parser.attribute(range)
                    function.defaults[name] = attribute
                case 13: function.overload = try parser.text(range)
                default: break
                }
            }
            return function
        }

        mutating func node(_ range: Range<Int>, index: Int) throws -> Onnx.Node {
            var node = Onnx.Node(index: index)
            try message(range, "node \(index)") { parser, field, value in
                guard case .bytes(let range) = value else { return }
                switch field {
                case 1: node.inputs.append(try parser.text(range))
                case 2: node.outputs.append(try parser.text(range))
                case 3: node.name = try parser.text(range)
                case 4: node.type = try parser.text(range)
                case 5:
                    let (name, attribute) = try parser.attribute(range)
                    node.attributes[name] = attribute
                case 7: node.domain = try parser.text(range)
                case 8: node.overload = try parser.text(range)
                default: break
                }
            }
            if Onnx.isOwnDomain(node.domain) { node.domain = "" }
            return node
        }

        mutating func attribute(_ range: Range<Int>) throws -> (name: String, Onnx.Attribute) {
            var name = ""
            var floats: [Float] = []
            var integers: [Int] = []
            var found = Onnx.Attribute.other
            var reference = ""
            // 6 and 7 are the types FLOATS and INTS, which may have no values.
            var type: UInt64 = 0
            try message(range, "an attribute") { parser, field, value in
                switch (field, value) {
                case (1, .bytes(let range)): name = try parser.text(range)
                case (2, .fixed32(let bits)): found = .float(Float(bitPattern: bits))
                case (3, .varint(let number)): found = .integer(Int(truncatingIfNeeded: number))
                // Texts are the names of modes; doc strings and the like are longer.
                case (4, .bytes(let range)) where range.count <= Limit.nameBytes: found = .text(try parser.text(range))
                case (5, .bytes(let range)): found = .tensor(try parser.tensor(range))
                case (7, .fixed32(let bits)): floats.append(Float(bitPattern: bits))
                case (7, .bytes(let range)):
                    floats += try parser.numbers(range) { Float(bitPattern: UInt32(try $0.fixed(4))) }
                case (8, .varint(let number)): integers.append(Int(truncatingIfNeeded: number))
                case (8, .bytes(let range)):
                    integers += try parser.numbers(range) { Int(truncatingIfNeeded: try $0.varint()) }
                case (20, .varint(let number)): type = number
                case (21, .bytes(let range)): reference = try parser.text(range)
                default: break
                }
                guard floats.count <= Limit.numbers, integers.count <= Limit.numbers else {
                    throw Failure(.badInput, "attribute \(name) has more than \(Limit.numbers) numbers")
                }
            }
            if !reference.isEmpty { return (name, .reference(reference)) }
            if !floats.isEmpty || type == 6 { return (name, .floats(floats)) }
            if !integers.isEmpty || type == 7 { return (name, .integers(integers)) }
            return (name, found)
        }

        /// Packed numbers.
        func numbers<Number>(
            _ range: Range<Int>, _ next: (inout ProtobufReader) throws -> Number
        ) throws -> [Number] {
            var reader = ProtobufReader(bytes, range, part: "a list of numbers")
            var numbers: [Number] = []
            while !reader.isAtEnd {
                guard numbers.count < Limit.numbers else {
                    throw Failure(.badInput, "an attribute has more than \(Limit.numbers) numbers")
                }
                numbers.append(try next(&reader))
            }
            return numbers
        }

        mutating func tensor(_ range: Range<Int>) throws -> Onnx.StoredTensor {
            var tensor = Onnx.StoredTensor(message: range)
            try message(range, "a tensor") { parser, field, value in
                switch (field, value) {
                case (1, .varint(let number)): tensor.dimensions.append(Int(truncatingIfNeeded: number))
                case (1, .bytes(let range)):
                    tensor.dimensions += try parser.numbers(range) { Int(truncatingIfNeeded: try $0.varint()) }
                case (2, .varint(let number)): tensor.type = Int(truncatingIfNeeded: number)
                case (8, .bytes(let range)): tensor.name = try parser.text(range)
                case (9, .bytes(let range)): tensor.raw = range
                case (13, .bytes(let range)):
                    let (key, text) = try parser.entry(range)
                    tensor.external[key] = text
                case (14, .varint(let number)): tensor.isExternal = number == 1
                default: break
                }
                guard tensor.dimensions.count <= Onnx.StoredTensor.dimensionsMax else {
                    throw Failure(
                        .badInput,
                        "tensor \(tensor.name) has more than \(Onnx.StoredTensor.dimensionsMax) dimensions")
                }
            }
            return tensor
        }

        mutating func entry(_ range: Range<Int>) throws -> (key: String, value: String) {
            var entry = (key: "", value: "")
            try message(range, "an entry of texts") { parser, field, value in
                switch (field, value) {
                case (1, .bytes(let range)): entry.key = try parser.text(range)
                case (2, .bytes(let range)): entry.value = try parser.text(range)
                default: break
                }
            }
            return entry
        }

        /// A value's name and shape.
        mutating func input(_ range: Range<Int>) throws -> Onnx.Input {
            var input = Onnx.Input()
            var types: [Range<Int>] = []
            try message(range, "an input or output") { parser, field, value in
                switch (field, value) {
                case (1, .bytes(let range)): input.name = try parser.text(range)
                case (2, .bytes(let range)): types.append(range)
                default: break
                }
            }
            // A type's tensor type (1), its shape (2), the shape's dimensions (1).
            for field: UInt64 in [1, 2] { types = try messages(field, in: types) }
            guard !types.isEmpty else { return input }
            input.dimensions = []
            for range in try messages(1, in: types) {
                var size: Int?
                try message(range, "a dimension") { parser, field, value in
                    switch (field, value) {
                    case (1, .varint(let number)): size = Int(truncatingIfNeeded: number)
                    case (2, .bytes(let range)): input.symbols.append(try parser.text(range))
                    default: break
                    }
                }
                input.dimensions?.append(size)
            }
            guard input.dimensions?.count ?? 0 <= Onnx.StoredTensor.dimensionsMax else {
                throw Failure(.badInput, "\(input.name) has more than \(Onnx.StoredTensor.dimensionsMax) dimensions")
            }
            return input
        }

        private mutating func messages(_ number: UInt64, in ranges: [Range<Int>]) throws -> [Range<Int>] {
            var found: [Range<Int>] = []
            for range in ranges {
                try message(range, "a type") { _, field, value in
                    if field == number, case .bytes(let inner) = value { found.append(inner) }
                }
            }
            return found
        }
    }
}
