import Shared

/// Writes the masks that `run` would evaluate with the same options.
struct EnsembleCommand: Command {
    static let description = CommandDescription(
        name: "ensemble", summary: "write the masks that a run would evaluate",
        discussion: """
            Draws the masks that 'winnow-coordinator run' evaluates with the same options, in the format that
            'winnow-worker evaluate' reads. Example:

              winnow-coordinator ensemble --model resnet20.th --masks 1000 --output masks.json

            With --run it writes that run's masks, each with its own images if images rotate:

              winnow-coordinator ensemble --run resnet20.winnow --output masks.json
            """)

    @Option("Network checkpoint (PyTorch or safetensors).", value: "FILE") var model: String?
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option(
        "Write the masks of this run file, which also holds the network and the options.", name: "run", value: "FILE")
    var runFile: String?
    @Option("Where to write the masks, as JSON.", value: "FILE") var output: String
    @OptionGroup var sampling = SamplingOptions()

    func validate() throws {
        try checkpoint.validate()
        guard (model == nil) != (runFile == nil) else {
            throw Failure(.usage, "give --model, or --run: the run file holds its network")
        }
        if model != nil, sampling.masks == nil { throw Failure(.usage, "--masks is missing") }
    }

    func run() throws {
        try OutputGuard(reading: [model, runFile].compactMap { $0 }).check(output)
        if let runFile { try write(masksOf: try RunFile.read(at: runFile)) }
        if let model {
            let space = FilterSpace(try Checkpoint.network(at: model, hints: checkpoint.hints).graph)
            try write(try sampling.ensemble(of: space), of: space, settings: nil)
        }
    }

    private func write(masksOf run: RunFile) throws {
        let network = try Checkpoint.network(
            bytes: run.checkpoint(), name: "the network in \(run.path)", note: { _ in })
        let space = FilterSpace(network.graph)
        try run.description.check(against: space)
        try write(run.description.ensemble, of: space, settings: run.description.settings)
    }

    private func write(_ ensemble: Ensemble, of space: FilterSpace, settings: EvaluationSettings?) throws {
        let images = settings.flatMap { settings in
            settings.rotation.map { (settings: settings, rotation: $0, count: ensemble.count) }
        }
        try MaskFile.write(ensemble.allMasks, for: space, to: output, images: images)
        print(
            "\(ensemble.count) masks of \(ensemble.participating.count) filters (design \(ensemble.design.name), "
                + "seed \(ensemble.seed), SHA-256 \(ensemble.digest)) are in \(output)")
    }
}
