/// Trained networks in files: PyTorch's two formats and safetensors, recognised by their content. Nothing that a file
/// holds is ever run.
public enum Checkpoint {
    /// The longest file that is read.
    public static let bytesMax = 1 << 30
    /// The most parameters of a network (VGG-19 has 144 million).
    public static let parametersMax = 1 << 28

    /// Reads a network. Throws a `.badInput` ``Failure`` that names the file and what in it is wrong.
    public static func network(at path: String) throws -> Network {
        try network(bytes: try InputFile.bytes(at: path, bytesMax: bytesMax), name: path)
    }

    /// Reads a network from a file's bytes; `name` stands in errors.
    public static func network(bytes: [UInt8], name: String) throws -> Network {
        do {
            return try network(try stateDict(bytes))
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    /// A network as a safetensors file, which ``network(at:)`` and other programs read. Shortcuts that are not the
    /// published ones stand in its metadata, under `winnow.shortcuts`.
    public static func safetensors(of network: Network) -> [UInt8] {
        var metadata = [("format", "pt")]
        if case .residual(let residual) = network.architecture, let maps = ShortcutMaps.text(of: residual.blocks) {
            metadata.append((ShortcutMaps.key, maps))
        }
        let tensors = network.architecture.parameterShapes.map { (name: $0.name, tensor: network[$0.name]) }
        return Safetensors.write(tensors, metadata: metadata)
    }

    private static func stateDict(_ bytes: [UInt8]) throws -> StateDict {
        guard !bytes.isEmpty else { throw Failure(.badInput, "the file is empty") }
        if TorchZip.matches(bytes) { return try TorchZip.read(bytes) }
        if TorchLegacy.matches(bytes) { return try TorchLegacy.read(bytes) }
        if Safetensors.matches(bytes) { return try Safetensors.read(bytes) }
        throw Failure(
            .badInput,
            "neither a PyTorch checkpoint nor a safetensors file"
                + (ForeignFile.words(of: bytes).map { ": \($0)" } ?? ", or one cut short in its first bytes"))
    }

    private static func network(_ state: StateDict) throws -> Network {
        let architecture = try ArchitectureRecognition(state).architecture()
        var parameters: [String: Tensor] = [:]
        var total = 0
        for (name, shape) in architecture.parameterShapes {
            total += shape.reduce(1, *)
            guard total <= parametersMax else {
                throw Failure(.badInput, "the network has more than \(parametersMax) parameters")
            }
            do {
                parameters[name] = try parameter(name, state)
            } catch let failure as Failure {
                throw Failure(failure.kind, "tensor \(name): \(failure.description)")
            }
        }
        return Network(architecture: architecture, parameters: parameters)
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
