/// Networks that are told by the names and shapes of a checkpoint's tensors, since a checkpoint without a graph does not
/// say what its forward pass does. A family is one short file; ``NetworkRecognition`` has the list.
protocol ArchitectureFamily {
    /// What it reads, for messages.
    static var summary: String { get }

    /// Whether tensors are named like this family's.
    static func matches(_ state: StateDict) -> Bool

    /// The graph of the network, for images of a shape if that is known. Throws a `.badInput` ``Failure`` that names the
    /// tensor that does not fit. Whether all tensors are there, and no others, is checked for all families alike.
    static func graph(of state: StateDict, image: Shape?) throws -> Graph
}

/// Finds out which network a checkpoint's tensors are.
struct NetworkRecognition {
    /// The key under which files that Winnow writes carry their graph.
    static let graphKey = "winnow.graph"

    private static var families: [any ArchitectureFamily.Type] {
        [ResNetFamily.self, VGGFamily.self, LinearChainFamily.self]
    }

    private let state: StateDict
    private let image: Shape?

    init(_ state: StateDict, image: Shape?) {
        self.state = state
        self.image = image
    }

    /// The graph. Throws a `.badInput` ``Failure`` that names the tensor that does not fit. Every tensor that the graph
    /// needs is there with its shape, and no other.
    func graph() throws -> Graph {
        guard !state.names.isEmpty else { throw Failure(.badInput, "holds no tensors") }
        let graph: Graph
        if let text = state.metadata[Self.graphKey] {
            graph = try Graph(json: text)
        } else if let family = Self.families.first(where: { $0.matches(state) }) {
            graph = try family.graph(of: state, image: image)
        } else {
            let shapes = state.names.prefix(3).map { "\($0) \(state[$0]?.shape ?? [])" }.joined(separator: ", ")
            throw Failure(
                .badInput,
                "an unknown architecture, which begins with \(shapes). Without a graph Winnow reads "
                    + "\(Self.families.map { $0.summary }.joined(separator: ", ")); export any other network with "
                    + "torch.onnx.export")
        }
        try check(against: graph)
        return graph
    }

    private func check(against graph: Graph) throws {
        var wanted: Set<String> = []
        for parameter in graph.parameters {
            guard let tensor = state[parameter.name] else {
                throw Failure(.badInput, "tensor \(parameter.name) is missing (expected shape \(parameter.shape))")
            }
            guard tensor.shape == parameter.shape else {
                throw Failure(
                    .badInput,
                    "tensor \(parameter.name) has shape \(tensor.shape) where \(parameter.shape) is expected")
            }
            wanted.insert(parameter.name)
        }
        if let extra = state.names.first(where: { !wanted.contains($0) }) {
            throw Failure(
                .badInput,
                "tensor \(extra) with shape \(state[extra]?.shape ?? []) is not part of the network that the other "
                    + "tensors make (\(graph.summary))")
        }
    }
}

extension StateDict {
    /// Whether some tensor has four dimensions or more.
    var isConvolutional: Bool { names.contains { (self[$0]?.shape.count ?? 0) > 2 } }

    /// The tensors that are matrices called `….weight`, without that ending.
    var linearLayers: [String] {
        names.filter { $0.hasSuffix(".weight") && self[$0]?.shape.count == 2 }
            .map { String($0.dropLast(".weight".count)) }
    }

    /// Whether a tensor is there.
    func has(_ name: String) -> Bool { self[name] != nil }

    /// Whether tensors of a batch norm of that name are there.
    func hasNorm(_ name: String) -> Bool {
        has("\(name).running_mean") || has("\(name).running_var") || self["\(name).weight"]?.shape.count == 1
    }

    /// The first two extents of a weight of so many dimensions, and its kernel. Throws where it is missing or of another
    /// form.
    func weight(
        _ layer: String, dimensions: Int, form: String
    ) throws -> (output: Int, input: Int, kernel: [Int]) {
        let name = "\(layer).weight"
        guard let tensor = self[name] else {
            throw Failure(.badInput, "tensor \(name) is missing (expected shape \(form))")
        }
        let shape = tensor.shape
        guard shape.count == dimensions, shape.allSatisfy({ $0 > 0 }) else {
            throw Failure(.badInput, "tensor \(name) has shape \(shape) where \(form) is needed")
        }
        return (shape[0], shape[1], Array(shape.dropFirst(2)))
    }

    /// A convolution's filters, channels (of one group) and kernel, which must be square.
    func convolution(_ layer: String, kernel: Int? = nil) throws -> (filters: Int, channels: Int, kernel: Int) {
        let size = kernel.map(String.init) ?? "k"
        let form = "[filters, channels, \(size), \(size)]"
        let (filters, channels, extents) = try weight(layer, dimensions: 4, form: form)
        guard extents[0] == extents[1], extents[0] == kernel ?? extents[0] else {
            throw Failure(
                .badInput, "tensor \(layer).weight has shape \([filters, channels] + extents) where \(form) is needed")
        }
        return (filters, channels, extents[0])
    }

    /// A linear layer's outputs and inputs.
    func linear(_ layer: String) throws -> (outputs: Int, inputs: Int) {
        let (outputs, inputs, _) = try weight(layer, dimensions: 2, form: "[outputs, inputs]")
        return (outputs, inputs)
    }
}

extension GraphBuilder {
    /// Adds a convolution of a checkpoint, with a bias if it has one, and its batch norm if that is there.
    mutating func addConvolution(
        _ name: String, norm: String, of state: StateDict, kernel: Int? = nil, stride: Int = 1, padding: Int? = nil,
        after input: Int
    ) throws -> Int {
        let (filters, channels, size) = try state.convolution(name, kernel: kernel)
        let read = shape(input).channels
        guard read % channels == 0 else {
            throw Failure(
                .badInput,
                "tensor \(name).weight reads \(channels) channels where \(read) come in")
        }
        let convolution = Operation.Convolution(
            filters: filters, kernel: .init(size), stride: .init(stride), padding: .init(padding ?? size / 2),
            groups: read / channels, hasBias: state.has("\(name).bias"))
        let node = try add(name, .convolution(convolution), [input], isExact: true)
        guard state.hasNorm(norm) else { return node }
        return try add(norm, .batchNorm(epsilon: 1e-5), [node], isExact: true)
    }

    /// Adds a linear layer of a checkpoint.
    mutating func addLinear(_ name: String, of state: StateDict, after input: Int) throws -> Int {
        let (outputs, _) = try state.linear(name)
        return try add(
            name, .linear(.init(outputs: outputs, hasBias: state.has("\(name).bias"))), [input], isExact: true)
    }
}
