/// Trained networks in files: PyTorch's two formats and safetensors, recognised by their content. Nothing that a file
/// holds is ever run.
public enum Checkpoint {
    /// The longest file that is read.
    public static let bytesMax = 1 << 30
    /// The most parameters of a network (VGG-19 has 144 million).
    public static let parametersMax = 1 << 28

    /// Reads a network, for images of a shape where the file does not say it, and an ONNX model's tensors from files beside
    /// it. What a user should know of how the file was read goes to `note`. Throws a `.badInput` ``Failure`` that names the
    /// file and what in it is wrong.
    public static func network(
        at path: String, image: Shape? = nil, note: (String) -> Void = { Log.shared.line($0) }
    ) throws -> Network {
        let bytes = try InputFile.bytes(at: path, bytesMax: bytesMax)
        if Onnx.matches(bytes) { return network(try Onnx.network(at: path), note) }
        return try network(bytes: bytes, name: path, image: image, note: note)
    }

    /// Reads a network from a file's bytes; `name` stands in errors.
    public static func network(
        bytes: [UInt8], name: String, image: Shape? = nil, note: (String) -> Void = { Log.shared.line($0) }
    ) throws -> Network {
        if Onnx.matches(bytes) { return network(try Onnx.network(bytes: bytes, name: name), note) }
        do {
            return try network(try stateDict(bytes), image: image)
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    private static func network(_ read: OnnxNetwork, _ note: (String) -> Void) -> Network {
        for text in read.notes { note(text) }
        return Network(graph: read.graph, parameters: read.parameters)
    }

    /// A file from which anybody reads this network as it is: the one it was read from, if that says all by itself,
    /// otherwise the network as safetensors with its graph. Throws a ``Failure`` where the file cannot be read.
    public static func portable(_ network: Network, from path: String) throws -> [UInt8] {
        let bytes = try InputFile.bytes(at: path, bytesMax: bytesMax)
        let alone = try? self.network(bytes: bytes, name: "", note: { _ in })
        return alone == network ? bytes : safetensors(of: network)
    }

    /// A network as a safetensors file, which ``network(at:image:)`` and other programs read. Its graph stands in the
    /// metadata, under `winnow.graph`.
    public static func safetensors(of network: Network) -> [UInt8] {
        Safetensors.write(
            network.graph.parameters.map { (name: $0.name, tensor: network[$0.name]) },
            metadata: [("format", "pt"), (NetworkRecognition.graphKey, network.graph.json)])
    }

    private static func stateDict(_ bytes: [UInt8]) throws -> StateDict {
        guard !bytes.isEmpty else { throw Failure(.badInput, "the file is empty") }
        if TorchZip.matches(bytes) { return try TorchZip.read(bytes) }
        if TorchLegacy.matches(bytes) { return try TorchLegacy.read(bytes) }
        if Safetensors.matches(bytes) { return try Safetensors.read(bytes) }
        throw Failure(
            .badInput,
            "neither a PyTorch checkpoint nor a safetensors or ONNX file"
                + (ForeignFile.words(of: bytes).map { ": \($0)" } ?? ", or one cut short in its first bytes"))
    }

    private static func network(_ state: StateDict, image: Shape?) throws -> Network {
        let graph = try NetworkRecognition(state, image: image).graph()
        var parameters: [String: Tensor] = [:]
        var total = 0
        for parameter in graph.parameters {
            total += parameter.shape.reduce(1, *)
            guard total <= parametersMax else {
                throw Failure(.badInput, "the network has more than \(parametersMax) parameters")
            }
            do {
                parameters[parameter.name] = try self.parameter(parameter.name, state)
            } catch let failure as Failure {
                throw Failure(failure.kind, "tensor \(parameter.name): \(failure.description)")
            }
        }
        return Network(graph: graph, parameters: parameters)
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
