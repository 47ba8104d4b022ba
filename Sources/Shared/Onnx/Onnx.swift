/// A network from an ONNX file.
public struct OnnxNetwork: Sendable {
    /// The network's operations.
    public let graph: Graph
    /// Every tensor of ``Graph/parameters`` by its name, in PyTorch's form: weights of linear layers are
    /// `[outputs, inputs]`.
    public let parameters: [String: Tensor]
    /// What else the file says about it.
    public let facts: NetworkFacts
    /// Notes for the user on how the file was read, one sentence each: folded batch norms, a dropped final log-softmax.
    public let notes: [String]
}

/// Feed-forward CNNs in ONNX files, as written by PyTorch's two exporters and others, opsets 11 to 21.
///
/// Reading calculates what an exporter writes around a network (shapes, constants, casts), reassembles what it takes
/// apart (activations, channel shuffles, adaptive pooling), and makes a ``Graph`` from the rest. An operator that no
/// graph has is refused with its node's name.
public enum Onnx {
    /// Whether bytes begin like an ONNX file: the version of the format, then fields of a model up to its graph. Reads
    /// a few bytes. True for a file cut short within its graph.
    public static func matches(_ bytes: [UInt8]) -> Bool {
        // Every writer writes the format's version first; 1 is the oldest, 10 that of 2024.
        guard bytes.count > 2, bytes[0] == 0x08, (1...100).contains(bytes[1]) else { return false }
        var reader = ProtobufReader(bytes, 0..<bytes.count, part: "the model")
        while !reader.isAtEnd {
            // The graph's field, 7 with a length. Safetensors' header, whose length may look like these bytes, has zeros.
            if bytes[reader.position] == 0x3A {
                return reader.position + 1 < bytes.count && bytes[reader.position + 1] != 0
            }
            guard let field = try? reader.next(), (1...25).contains(field.number) else { return false }
        }
        return false
    }

    /// Reads a network from a file, and the tensors from files beside it. Throws a `.badInput` ``Failure`` that names
    /// the file and what is wrong in it.
    public static func network(at path: String) throws -> OnnxNetwork {
        let bytes = try InputFile.bytes(at: path, bytesMax: Checkpoint.bytesMax)
        return try named(path) { try network(bytes, Folder(of: path)) }
    }

    /// Reads a network from the bytes of a file that holds all its tensors; `name` is for errors.
    public static func network(bytes: [UInt8], name: String) throws -> OnnxNetwork {
        try named(name) { try network(bytes, nil) }
    }

    private static func network(_ bytes: [UInt8], _ folder: Folder?) throws -> OnnxNetwork {
        guard matches(bytes) else { throw Failure(.badInput, "not an ONNX file, or one cut short before its graph") }
        var reading = try Reading(Model(bytes), folder)
        return try reading.network()
    }

    private static func named(_ name: String, _ read: () throws -> OnnxNetwork) throws -> OnnxNetwork {
        do {
            return try read()
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    /// The producer named in models that Winnow wrote.
    public static let ownProducer = "winnow"

    /// Whether a domain is that of ONNX's own operators.
    static func isOwnDomain(_ domain: String) -> Bool { domain.isEmpty || domain == "ai.onnx" }
}
