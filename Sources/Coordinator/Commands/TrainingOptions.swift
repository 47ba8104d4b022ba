import Foundation
import Shared

/// The options that `train` and `finetune` share.
struct TrainingOptions {
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @OptionGroup var normalisation = NormalisationOptions()
    @Option(
        "Where to write the network after the last epoch. The best one by validation (-best.safetensors) and "
            + "the curves (-curve.csv, -curve.json, -report.html) go beside it.", value: "FILE")
    var output: String
    @Option("File for the training's state. By default OUTPUT.training.", value: "FILE")
    var state: String?
    @Flag("Resume the training in the state file with its settings; other training options are ignored.")
    var resume: Bool
    @Option("Training epochs.", value: "N") var epochs: Int = 40
    @Option("Network to distil from as well, such as the unpruned one.", value: "FILE")
    var distillFrom: String?
    @Option("Seed of the images' order and augmentation, and of initial parameters.", value: "S") var seed: UInt64 = 1
    @OptionGroup var exports = ExportOptions()
    @OptionGroup var recipe = TrainingRecipeOptions()
    @OptionGroup var cluster = ClusterOptions()
    @OptionGroup var livePage = LivePageOptions()

    /// Rejects impossible options. Throws a `.usage` ``Failure``.
    func validate() throws {
        recipe.named?.apply(to: self)
        try cluster.validate()
        try livePage.validate()
        try dataFormat.validate()
        try normalisation.validate()
        _ = try settings()
    }

    private func settings() throws -> TrainingSettings {
        try recipe.settings(epochs: epochs, seed: seed, distills: distillFrom != nil)
    }

    /// Trains the network that `network` makes for the images, read from `model` if that is not nil, or resumes from
    /// the state file. Throws a ``Failure``.
    func train(
        from model: String?, teacherHints: CheckpointHints = CheckpointHints(),
        _ network: (ImageLayout) throws -> Network
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        let outputs = TrainingOutputs(network: output)
        // An interrupted training may overwrite its own files.
        let inputs = [model, distillFrom]
        let guardian = OutputGuard(reading: inputs, isForced: exports.force || resume)
        for file in [outputs.network, outputs.bestNetwork, outputs.curveJSON] { try guardian.check(file) }
        try exports.check(reading: inputs, isForced: resume)
        let data = try dataFormat.source(data).open()
        let training = try data.read(.train)
        let test = try HeldOutImages.test(of: data)
        let dashboard = try livePage.open()
        dashboard?.report = outputs.report
        let listener = try cluster.listen()
        let state = try begin(
            data, training, heldOut: test == nil ? HeldOutImages.count(of: training.count) : 0,
            at: state ?? "\(output).training", teacherHints, network)
        let run = TrainingRun(
            trainingImages: training,
            testImages: try test ?? HeldOutImages.last(state.progress.settings.validationImages, of: training),
            cluster: cluster, outputs: outputs, dashboard: dashboard)
        let progress = try run.run(state, at: listener, signals: signals)
        try exports.write(progress.network)
        report(progress)
        dashboard?.show(.finished)
        dashboard?.bidFarewell()
    }

    private func begin(
        _ data: DataSet, _ training: ImageSet, heldOut: Int, at statePath: String, _ teacherHints: CheckpointHints,
        _ network: (ImageLayout) throws -> Network
    ) throws -> (file: TrainingFile, progress: TrainingProgress, origin: TrainingFile.Origin) {
        let digest = training.digest
        if resume {
            let (file, progress, origin) = try TrainingFile.open(at: statePath)
            guard origin.trainingImages == digest else {
                throw Failure(.badInput, "\(statePath) is a training on other images than those in \(data.source.path)")
            }
            Log.shared.line(
                "resuming in epoch \(progress.position.epoch + 1) of \(progress.settings.epochs), step "
                    + "\(progress.position.step)")
            Log.shared.line(data.summary(progress.settings.normalisation))
            return (file, progress, origin)
        }
        var settings = try settings()
        settings.mirrors = data.mayBeMirrored && !recipe.noMirroring
        if heldOut > settings.validationImages {
            settings.validationImages = heldOut
            Log.shared.line(HeldOutImages.note(heldOut, of: data))
        }
        let teacher = try distillFrom.map {
            try Checkpoint.network(at: $0, image: training.layout.shape, hints: teacherHints)
        }
        let origin = TrainingFile.Origin(trainingImages: digest, teacher: teacher)
        let size = min(training.layout.shape.height, training.layout.shape.width)
        guard settings.cutout <= size else { throw Failure(.usage, "--cutout must be 0 to \(size)") }
        var network = try network(training.layout)
        settings.normalisation = try normalisation.normalisation(for: data, of: network)
        network.facts.normalisation = settings.normalisation
        try training.check(fits: network.graph)
        Log.shared.line(data.summary(settings.normalisation))
        if let teacher { try training.check(fits: teacher.graph) }
        let progress = try TrainingProgress(network, settings: settings, imageCount: training.count)
        return (try TrainingFile.create(at: statePath, progress, origin), progress, origin)
    }

    private func report(_ progress: TrainingProgress) {
        guard let last = progress.history.epochs.last else { return }
        func percent(_ share: Double?) -> String { share.map { Text.percent($0, 2) } ?? "unknown" }
        let outputs = TrainingOutputs(network: output)
        print("test accuracy after the last epoch: \(percent(last.testAccuracy)) (\(output))")
        if let best = progress.history.bestByValidation {
            print(
                "best by validation: epoch \(best.epoch), validation \(percent(best.validationAccuracy)), test "
                    + "\(percent(best.testAccuracy)) (\(outputs.bestNetwork))")
        }
        print("before training: \(percent(progress.history.testAccuracyBefore)); report: \(outputs.report)")
    }
}
