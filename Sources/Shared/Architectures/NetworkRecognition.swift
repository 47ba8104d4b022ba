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
