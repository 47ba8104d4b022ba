/// Finds out which network a checkpoint's tensors are.
struct NetworkRecognition {
    /// The key under which Winnow's files carry their graph.
    static let graphKey = "winnow.graph"

    /// A network that was recognised.
    struct Recognised {
        let graph: Graph
        /// The tensors, under the graph's names.
        var state: StateDict
        /// How a normalising layer in front of the network treats images.
        var normalisation: Normalisation?
        /// The assumptions about the forward pass; nil if the file contains it.
        let assumptions: String?
        /// Notes for the user on how the file was read, one sentence each.
        var notes: [String] = []
    }

    private static var families: [any ArchitectureFamily.Type] {
        [ResNetFamily.self, VGGFamily.self, LinearChainFamily.self]
    }

    private let hints: CheckpointHints
    private let image: Shape?

    init(_ hints: CheckpointHints = CheckpointHints(), image: Shape?) {
        self.hints = hints
        self.image = image
    }

    /// The network that the tensors make, using all of them. Throws a `.badInput` ``Failure`` that names the tensor
    /// that does not fit. Every tensor that the graph needs is there with its shape.
    func network(of stored: StateDict) throws -> Recognised {
        guard !stored.names.isEmpty else { throw Failure(.badInput, "holds no tensors") }
        if let text = stored.metadata[Self.graphKey] {
            let graph = try Graph(json: text)
            try check(stored, against: graph)
            return Recognised(graph: graph, state: stored, assumptions: nil)
        }
        var notes: [String] = []
        var state = try stored.unwrapped()
        let masked = try state.applyingPruningMasks()
        if masked.names.count < state.names.count {
            notes.append("weights are masked: Winnow uses their products with the masks")
        }
        state = masked
        var normalisation: Normalisation?
        if let (rest, layer) = try state.takingNormalisation() {
            state = rest
            normalisation = layer.normalisation
            notes.append(layer.note)
        }
        var recognised = try recognise(state)
        recognised.normalisation = normalisation
        recognised.notes = notes + recognised.notes
        return recognised
    }

    /// Tries the names as they are, then without common prefixes, then without auxiliary classifiers. If nothing fits,
    /// reports the complaint about the names that some family recognises.
    private func recognise(_ state: StateDict) throws -> Recognised {
        var complaint: Failure?
        for (candidate, note) in try candidates(state) {
            guard let family = Self.families.first(where: { $0.matches(candidate) }) else { continue }
            do {
                let graph = try family.graph(of: candidate, image: image, hints: hints)
                try check(candidate, against: graph)
                return Recognised(
                    graph: graph, state: candidate, assumptions: assumptions(of: graph), notes: note.map { [$0] } ?? [])
            } catch let failure as Failure {
                complaint = complaint ?? failure
            }
        }
        throw complaint ?? unknown(state)
    }

    private func candidates(_ state: StateDict) throws -> [(state: StateDict, note: String?)] {
        var candidates: [(state: StateDict, note: String?)] = [(state, nil)]
        var rest = state
        while let prefix = rest.commonPrefix {
            rest = try rest.renamed { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
            candidates.append((rest, nil))
        }
        for (candidate, _) in candidates {
            guard let (others, heads) = try candidate.withoutAuxiliaryHeads(), !others.names.isEmpty else { continue }
            candidates.append((others, "\(heads.joined(separator: " and ")) dropped as auxiliary classifiers"))
        }
        return candidates
    }

    private func assumptions(of graph: Graph) -> String {
        var words = [(hints.activation ?? .relu).words]
        let isChain = graph.nodes.allSatisfy { if case .convolution = $0.operation { false } else { true } }
        let hasShortcut = graph.nodes.contains { if case .select = $0.operation { true } else { false } }
        let hasNorm = graph.nodes.contains { if case .batchNorm = $0.operation { true } else { false } }
        if hasShortcut { words.append((hints.shortcut ?? .padded).words) }
        if hasNorm { words.append("epsilon \(hints.epsilon ?? CheckpointHints.usualEpsilon)") }
        if isChain {
            let layers = graph.nodes.filter { if case .linear = $0.operation { true } else { false } }
            words.append("layers in the order \(layers.map(\.name).joined(separator: ", "))")
        }
        return words.joined(separator: ", ")
    }

    private func unknown(_ state: StateDict) -> Failure {
        let shapes = state.names.prefix(3).map { "\($0) \(state[$0]?.shape ?? [])" }.joined(separator: ", ")
        return Failure(
            .badInput,
            "an unknown architecture, which starts with \(shapes). Without a graph Winnow reads "
                + "\(Self.families.map { $0.summary }.joined(separator: ", ")); export any other network with "
                + "torch.onnx.export")
    }

    private func check(_ state: StateDict, against graph: Graph) throws {
        var wanted: Set<String> = []
        for parameter in graph.parameters {
            guard let tensor = state[parameter.name] else {
                if let maker = state.passedOver[parameter.name] {
                    throw Failure(.badInput, "tensor \(parameter.name) is stored by \(maker), which is not supported")
                }
                throw Failure(.badInput, "tensor \(parameter.name) is missing (expected shape \(parameter.shape))")
            }
            guard tensor.shape == parameter.shape else {
                throw Failure(
                    .badInput,
                    "tensor \(parameter.name) has shape \(tensor.shape), but \(parameter.shape) is expected")
            }
            wanted.insert(parameter.name)
        }
        if let extra = state.names.first(where: { !wanted.contains($0) }) {
            throw Failure(
                .badInput,
                "tensor \(extra) with shape \(state[extra]?.shape ?? []) is not part of the network made by "
                    + "the other tensors (\(graph.summary))")
        }
    }
}
