/// Trained networks in files: PyTorch's two formats, safetensors and ONNX, recognised by their content. Nothing in a
/// file is ever executed.
public enum Checkpoint {
    /// The longest file to read.
    public static let bytesMax = 1 << 30
    /// The most parameters of a network (VGG-19 has 144 million).
    public static let parametersMax = 1 << 28

    /// Reads a network, for images of a shape if the file does not say it; an ONNX model's tensors may be in files
    /// beside it. Notes for the user go to `note`. Throws a `.badInput` ``Failure`` that names the file and what is
    /// wrong in it.
    public static func network(
        at path: String, image: Shape? = nil, hints: CheckpointHints = CheckpointHints(),
        note: (String) -> Void = { Log.shared.line($0) }
    ) throws -> Network {
        let bytes = try InputFile.bytes(at: path, bytesMax: bytesMax)
        if Onnx.matches(bytes) { return try network(try Onnx.network(at: path), path, hints, note) }
        return try network(bytes: bytes, name: path, image: image, hints: hints, note: note)
    }

    /// Reads a network from a file's bytes; `name` is for errors.
    public static func network(
        bytes: [UInt8], name: String, image: Shape? = nil, hints: CheckpointHints = CheckpointHints(),
        note: (String) -> Void = { Log.shared.line($0) }
    ) throws -> Network {
        if Onnx.matches(bytes) { return try network(try Onnx.network(bytes: bytes, name: name), name, hints, note) }
        do {
            let choice = WeightsChoice(try weights(bytes), NetworkRecognition(hints, image: image), hints.weights)
            let recognised = try choice.network()
            try checkNeed(of: hints, saysAll: recognised.assumptions == nil)
            let network = try network(recognised)
            for text in recognised.notes { note("\(name): \(text)") }
            if let assumptions = recognised.assumptions {
                note(
                    "\(name) has names and shapes but no forward pass; assumed: \(assumptions). If yours "
                        + "differs, say so with --activation, --shortcut, --epsilon or --layer-order, or export it "
                        + "as ONNX, which includes it"
                )
            }
            return network
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    private static func network(
        _ read: OnnxNetwork, _ name: String, _ hints: CheckpointHints, _ note: (String) -> Void
    ) throws -> Network {
        do { try checkNeed(of: hints, saysAll: true) } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
        for text in read.notes { note(text) }
        return Network(graph: read.graph, parameters: read.parameters, facts: read.facts)
    }

    /// Throws if the user specifies a forward pass that the file already contains.
    private static func checkNeed(of hints: CheckpointHints, saysAll: Bool) throws {
        let options = hints.forwardOptions
        guard saysAll, hints.mustBeNeeded, !options.isEmpty else { return }
        throw Failure(
            .usage,
            "the file says what the network computes; leave out \(options.joined(separator: " and "))")
    }

    /// A file from which any program reads this network's graph and parameters unchanged: the original file if it is
    /// self-contained, so that hosts that have it need not fetch it; otherwise safetensors. Throws a ``Failure`` if the
    /// file cannot be read.
    public static func portable(_ network: Network, from path: String) throws -> [UInt8] {
        let bytes = try InputFile.bytes(at: path, bytesMax: bytesMax)
        if let alone = try? self.network(bytes: bytes, name: "", note: { _ in }), alone.graph == network.graph,
            alone.parameters == network.parameters, alone.facts.assumptions == network.facts.assumptions
        {
            return bytes
        }
        return safetensors(of: network)
    }

    /// A network as a safetensors file, readable by ``network(at:image:hints:note:)`` and other programs. Its metadata
    /// hold the graph, under `winnow.graph`, and the network's ``NetworkFacts``.
    public static func safetensors(of network: Network) -> [UInt8] {
        Safetensors.write(
            network.graph.parameters.map { (name: $0.name, tensor: network[$0.name]) },
            metadata: [("format", "pt"), (NetworkRecognition.graphKey, network.graph.json)] + network.facts.metadata)
    }

    private static func weights(_ bytes: [UInt8]) throws -> [StoredWeights] {
        guard !bytes.isEmpty else { throw Failure(.badInput, "the file is empty") }
        if TorchZip.matches(bytes) { return try TorchZip.read(bytes) }
        if TorchLegacy.matches(bytes) { return try TorchLegacy.read(bytes) }
        if Safetensors.matches(bytes) { return [StoredWeights(key: "", state: .success(try Safetensors.read(bytes)))] }
        throw Failure(
            .badInput,
            "neither a PyTorch checkpoint nor a safetensors or ONNX file"
                + (ForeignFile.words(of: bytes).map { ": \($0)" } ?? ", or one cut short in its first bytes"))
    }

    private static func network(_ recognised: NetworkRecognition.Recognised) throws -> Network {
        var parameters: [String: Tensor] = [:]
        var total = 0
        for parameter in recognised.graph.parameters {
            total += parameter.shape.reduce(1, *)
            guard total <= parametersMax else {
                throw Failure(.badInput, "the network has more than \(parametersMax) parameters")
            }
            do {
                parameters[parameter.name] = try self.parameter(parameter.name, recognised.state)
            } catch let failure as Failure {
                throw Failure(failure.kind, "tensor \(parameter.name): \(failure.description)")
            }
        }
        var facts = try NetworkFacts(metadata: recognised.state.metadata)
        facts.normalisation = recognised.normalisation ?? facts.normalisation
        facts.assumptions = recognised.assumptions ?? facts.assumptions
        return Network(graph: recognised.graph, parameters: parameters, facts: facts)
    }

    private static func parameter(_ name: String, _ state: StateDict) throws -> Tensor {
        guard let stored = state[name] else { throw Failure(.internalFault, "recognised but missing") }
        let tensor = try stored.converted()
        if name.hasSuffix(".running_var"), let bad = tensor.values.firstIndex(where: { $0 < 0 }) {
            throw Failure(.badInput, "its value \(bad) is \(tensor.values[bad]), and a variance cannot be negative")
        }
        return tensor
    }
}
