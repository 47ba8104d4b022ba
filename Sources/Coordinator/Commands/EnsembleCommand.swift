import Shared

/// Writes the masks that `run` with the same options would evaluate.
struct EnsembleCommand: Command {
    static let description = CommandDescription(
        name: "ensemble", summary: "write the masks that a run would evaluate",
        discussion: """
            Draws the masks that 'winnow-coordinator run' with the same options evaluates, in the form that
            'winnow-worker evaluate' reads. Example:

              winnow-coordinator ensemble --model resnet20.th --masks 1000 --output masks.json
            """)

    @Option("The network's checkpoint (PyTorch or safetensors).", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("Where the masks go, as JSON.", value: "FILE") var output: String
    @OptionGroup var sampling = SamplingOptions()

    func validate() throws { try checkpoint.validate() }

    func run() throws {
        try OutputGuard(reading: [model]).check(output)
        let space = FilterSpace(try Checkpoint.network(at: model, hints: checkpoint.hints).graph)
        let ensemble = try sampling.ensemble(of: space)
        try MaskFile.write(ensemble.allMasks, for: space, to: output)
        print(
            "\(ensemble.count) masks of \(ensemble.participating.count) filters (design \(ensemble.design.name), "
                + "seed \(ensemble.seed), SHA-256 \(ensemble.digest)) are in \(output)")
    }
}
