import Shared

/// `winnow-coordinator export`.
struct Export: Command {
    static let description = CommandDescription(
        name: "export",
        summary: "write a network as ONNX or as a Python package",
        discussion: """
            Writes a network, pruned or not, in formats that other programs run. Example:

              winnow-coordinator export --model compressed/compressed.safetensors --onnx small.onnx --pytorch small

            The ONNX model runs wherever onnxruntime does. The package needs only torch: with the folder's parent on the \
            path, 'import small' and 'small.load()' give a torch.nn.Module.
            """)

    @Option("Network (PyTorch or safetensors).", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("Also write it as safetensors.", value: "FILE") var output: String?
    @OptionGroup var exports = ExportOptions()
    @OptionGroup var normalisation = NormalisationOptions()

    func validate() throws {
        guard output != nil || exports.isAsked else {
            throw Failure(.usage, "nothing to write: give --onnx, --pytorch or --output")
        }
        try normalisation.validate()
        try checkpoint.validate()
    }

    func run() throws {
        try OutputGuard(reading: [model], isForced: exports.force).check(output)
        try exports.check(reading: [model])
        var network = try Checkpoint.network(at: model, hints: checkpoint.hints)
        network.facts.normalisation = try normalisation.normalisation(for: network)
        try ExportedFiles(safetensors: output, onnx: exports.onnx, pytorch: exports.pytorch)
            .write(network)
        for file in [output, exports.onnx, exports.pytorch].compactMap({ $0 }) { print(file) }
    }
}
