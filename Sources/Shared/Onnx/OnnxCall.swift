extension Onnx.Reading {
    /// A node with its inputs.
    struct Call {
        let node: Onnx.Node
        /// The node's name, with those of the functions around it.
        let name: String
        /// Nil for an omitted optional input.
        var inputs: [Value?] = []
        var attributes: [String: Onnx.Attribute] = [:]

        init(node: Onnx.Node, prefix: String) {
            self.node = node
            name = prefix + node.name
        }

        /// The node in messages.
        var label: String { "\(name.isEmpty ? "\(node.index)" : name) (\(node.type))" }

        /// An error that names the node.
        func failure(_ what: String) -> Failure { Failure(.badInput, "node \(label): \(what)") }

        /// Whether it casts a constant to another tensor's type.
        var isCastOfConstant: Bool {
            if node.type == "CastLike", case .constant = input(0) { true } else { false }
        }

        // MARK: Inputs

        /// An input, or nil if it is omitted.
        func input(_ index: Int) -> Value? { index < inputs.count ? inputs[index] : nil }

        /// An input that depends on the image. Throws if it does not.
        func view(_ index: Int) throws -> Onnx.View {
            switch input(index) {
            case .view(let view): return view
            case .resampling:
                throw failure("it reads pixels that are gathered in an order which is no adaptive average pooling")
            case .sequence: throw failure("it reads a sequence of tensors")
            case .constant: throw failure("its input \(index) is a constant where the image's channels are needed")
            case nil: throw failure("its input \(index) is missing")
            }
        }

        /// An input that does not depend on the image, or nil if it is omitted. Throws if it depends on it.
        func optionalConstant(_ index: Int) throws -> Onnx.Constant? {
            switch input(index) {
            case .constant(let constant): return constant
            case nil: return nil
            default: throw failure("its input \(node.inputs[index]) depends on the image, but must be constant")
            }
        }

        /// An input that does not depend on the image. Throws if it is omitted.
        func constant(_ index: Int) throws -> Onnx.Constant {
            guard let constant = try optionalConstant(index) else { throw failure("its input \(index) is missing") }
            return constant
        }

        /// The parts that a `Slice` takes of some axes of a tensor of `rank` dimensions, unnormalised: they may be
        /// negative or beyond the end. Throws if they are incomplete.
        func slices(rank: Int) throws -> [(axis: Int, start: Int, end: Int, step: Int)] {
            guard let starts = try integers("starts", orInput: 1), let ends = try integers("ends", orInput: 2),
                starts.count == ends.count
            else { throw failure("its starts or ends are missing") }
            let axes = try integers("axes", orInput: 3) ?? Array(starts.indices)
            let steps = try optionalIntegers(4) ?? Array(repeating: 1, count: starts.count)
            guard axes.count == starts.count, steps.count == starts.count else {
                throw failure("its starts, ends, axes and steps are not the same number")
            }
            return try axes.indices.map { (try axis(axes[$0], rank: rank), starts[$0], ends[$0], steps[$0]) }
        }

        /// An input of integers, or nil if it is omitted.
        func optionalIntegers(_ index: Int) throws -> [Int]? {
            guard let constant = try optionalConstant(index) else { return nil }
            guard let integers = constant.integers else { throw failure("its input \(index) does not hold integers") }
            return integers
        }

        /// A single number, or nil if the input is omitted.
        func optionalNumber(_ index: Int) throws -> Double? {
            guard let constant = try optionalConstant(index) else { return nil }
            guard let number = constant.uniform else { throw failure("its input \(index) is not one number") }
            return number
        }

        // MARK: Attributes

        /// An integer attribute.
        func integer(_ name: String, default value: Int) throws -> Int { try optionalInteger(name) ?? value }

        func optionalInteger(_ name: String) throws -> Int? {
            switch attributes[name] {
            case nil: return nil
            case .integer(let integer): return integer
            default: throw failure("attribute \(name) is not an integer")
            }
        }

        func optionalFloat(_ name: String) throws -> Double? {
            switch attributes[name] {
            case nil: return nil
            // The shortest decimal number is what the network's author wrote: 1e-05, not 9.999999747378752e-06.
            case .float(let float): return Double("\(float)") ?? Double(float)
            default: throw failure("attribute \(name) is not a number")
            }
        }

        /// A floating-point attribute.
        func float(_ name: String, default value: Double) throws -> Double { try optionalFloat(name) ?? value }

        func text(_ name: String, default value: String) throws -> String {
            switch attributes[name] {
            case nil: return value
            case .text(let text): return text
            default: throw failure("attribute \(name) is not text")
            }
        }

        /// A list of integers, or nil.
        func integers(_ name: String) throws -> [Int]? {
            switch attributes[name] {
            case nil: return nil
            case .integers(let integers): return integers
            default: throw failure("attribute \(name) is not a list of integers")
            }
        }

        /// Integers that older opsets give as an attribute and newer ones as an input.
        func integers(_ name: String, orInput index: Int) throws -> [Int]? {
            try integers(name) ?? optionalIntegers(index)
        }

        /// An axis, normalised to start from 0. Throws if it is not one of `rank` dimensions.
        func axis(_ axis: Int, rank: Int) throws -> Int {
            guard (-rank..<rank).contains(axis) else {
                throw failure("axis \(axis) is none of \(rank) dimensions")
            }
            return axis < 0 ? axis + rank : axis
        }
    }
}

extension Onnx.Reading.Call {
    /// The error for an operator that no graph has, with a remedy.
    func unsupported() -> Failure {
        failure("Winnow does not read this operator; \(advice)")
    }

    private var advice: String {
        switch node.type {
        case "LSTM", "GRU", "RNN": "it ranks the filters of feed-forward CNNs, not of recurrent networks"
        case "If", "Loop", "Scan":
            "the network's path depends on its input: export with images of a fixed size, and without branches "
                + "in forward()"
        case "Attention", "MultiHeadAttention", "Einsum":
            "it ranks the filters of CNNs, not of networks with attention"
        case "LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "RMSNormalization",
            "LpNormalization", "MeanVarianceNormalization":
            "a normalisation by the image's own statistics; train the network with batch norms instead"
        case "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger",
            "QLinearMatMul":
            "export the network before it is quantised"
        case "ArgMax", "TopK": "export the network up to its logits, without what follows them"
        case "ConvTranspose", "Resize", "Upsample": "it reads classifiers, whose channels do not grow again"
        default: "replace it with operators of a CNN (listed in the documentation), or export the network without it"
        }
    }
}
