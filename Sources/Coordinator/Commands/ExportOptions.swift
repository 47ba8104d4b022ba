import Shared

/// The other formats to write a network in besides safetensors; every command that writes one has them.
struct ExportOptions {
    @Option("Also write the network as an ONNX model.", value: "FILE") var onnx: String?
    @Option(
        "Also write the network as a Python package for PyTorch, named after the folder: 'import NAME', then "
            + "NAME.load().", value: "FOLDER") var pytorch: String?
    @Flag("Overwrite existing networks.") var force: Bool

    /// Whether something is asked for.
    var isAsked: Bool { onnx != nil || pytorch != nil }

    /// Checks the outputs of a command that reads `inputs`. Throws a ``Failure``.
    func check(reading inputs: [String?], isForced: Bool = false) throws {
        let guardian = OutputGuard(reading: inputs, isForced: isForced || force)
        try guardian.check(onnx)
        guard let pytorch else { return }
        try OutputGuard.prepareFolder(pytorch)
        for file in ExportedFiles.packageFiles { try guardian.check("\(pytorch)/\(file)") }
    }

    /// Writes the network in the requested formats. Throws a ``Failure``.
    func write(_ network: Network) throws {
        try ExportedFiles(onnx: onnx, pytorch: pytorch).write(network)
    }
}
