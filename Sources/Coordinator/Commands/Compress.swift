import Foundation
import Shared

/// `winnow-coordinator compress`.
struct Compress: Command {
    static let description = CommandDescription(
        name: "compress",
        summary: "rank, prune and fine-tune a network to a budget",
        discussion: """
            Ranks, prunes and fine-tunes the network in rounds until the budget is met. Every round removes the same share \
            of what is left. On one machine:

              winnow-coordinator compress --model resnet56.th --data cifar-10-batches-bin --remove-flops 0.64 \\
                  --remove-parameters 0.6 --rounds 2 --masks 5000 --epochs 200 --epochs-between 20 --folder resnet56

            Or as small as possible at half a point less accuracy; rounds continue until one falls below it:

              winnow-coordinator compress --model resnet20.th --data cifar-10-batches-bin --max-accuracy-drop 0.5 \\
                  --masks 1000 --epochs 40 --epochs-between 5 --folder resnet20

            On many, add --bind and start 'winnow-worker serve' there; the same workers rank and train. The folder gets \
            compressed.safetensors, report.html, curve.csv and curve.json, and each round's run file, networks and training. \
            After any interruption the same command resumes, with the same result.
            """)

    @Option("Network checkpoint (PyTorch or safetensors).", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("Folder for all results. If it holds a compression, that is resumed.", value: "DIR")
    var folder: String
    @OptionGroup var exports = ExportOptions()
    @OptionGroup var budget = CostBudgetOptions()
    @OptionGroup var accuracy = AccuracyFloorOptions()
    @Option(
        "With an accuracy target, the share of the remaining FLOPs to remove per round.", value: "SHARE")
    var removePerRound: Double = 0.2
    @Option(
        "Rounds of ranking, pruning and fine-tuning. With an accuracy target, the most rounds: 100 by default.",
        value: "N") var rounds: Int = 1
    @OptionGroup var evaluation = EvaluationOptions()
    @OptionGroup var sampling = SamplingOptions()
    @OptionGroup var rules = PruningRuleOptions()
    @Option("Training epochs of the last round.", value: "N") var epochs: Int = 40
    @Option("Training epochs of every earlier round.", value: "N") var epochsBetween: Int = 5
    @Flag("Fine-tune on the labels alone, without distilling from the unpruned network.")
    var noDistillation: Bool
    @OptionGroup var recipe = TrainingRecipeOptions()
    @OptionGroup var cluster = ClusterOptions()
    @OptionGroup var livePage = LivePageOptions()

    func validate() throws {
        recipe.named?.apply(to: self)
        guard (1...CompressionPlan.roundsMax).contains(rounds) else {
            throw Failure(.usage, "--rounds must be from 1 to \(CompressionPlan.roundsMax)")
        }
        let hasBudget = budget.removeFlops != nil || budget.removeParameters != nil
        let floor = try accuracy.floor
        guard hasBudget || floor != nil else {
            throw Failure(
                .usage, "no budget: give --remove-flops, --remove-parameters or both, or --max-accuracy-drop")
        }
        if floor != nil {
            guard !hasBudget else {
                throw Failure(.usage, "give a budget or an accuracy target")
            }
            guard removePerRound > 0, removePerRound < 1 else {
                throw Failure(.usage, "--remove-per-round must be a share above 0 and below 1")
            }
        } else if $removePerRound.isGiven {
            throw Failure(.usage, "--remove-per-round is for --max-accuracy-drop and --min-accuracy")
        }
        try budget.validate()
        try rules.validate()
        try cluster.validate()
        try livePage.validate()
        try checkpoint.validate()
        try evaluation.validate()
        for epochs in [epochs, epochsBetween] { _ = try training(epochs: epochs) }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        try exports.check(reading: [model])
        let data = try evaluation.dataSet()
        var network = try Checkpoint.network(at: model, image: data.layout.shape, hints: checkpoint.hints)
        let images = try CompressionSession.Images(data)
        try images.training.check(fits: network.graph)
        let ensemble = try sampling.ensembleToFit(of: FilterSpace(network.graph))
        let goal = try goal(of: data, images)
        let settings = try evaluation.settings(
            split: .train, of: data, for: network, masks: ensemble,
            atMost: images.usable - (goal?.validationImages ?? 0))
        network.facts.normalisation = settings.normalisation
        let checkpoint = Checkpoint.safetensors(of: network)
        Log.shared.line(data.summary(settings.normalisation))
        try RecognitionCheck(network: network, data: data, settings: settings).check(evaluation.recognition)
        func training(epochs: Int) throws -> TrainingSettings {
            var training = try self.training(epochs: epochs)
            if let goal { training.validationImages = goal.validationImages }
            training.normalisation = settings.normalisation
            training.mirrors = data.mayBeMirrored && !recipe.noMirroring
            training.validationImages = max(training.validationImages, images.heldOut)
            return training
        }
        let caps = try rules.caps
        try LayerCap.check(caps, fit: network.graph)
        let plan = CompressionPlan(
            network: Digest(sha256Of: checkpoint), trainingImages: images.training.digest,
            testImages: images.test.digest, removeFlops: budget.removeFlops,
            removeParameters: budget.removeParameters, accuracy: goal?.goal,
            rounds: goal != nil && !$rounds.isGiven ? CompressionPlan.roundsMax : rounds,
            ensemble: ensemble,
            evaluation: settings, lossModel: rules.lossModel,
            keepAtLeast: rules.keepAtLeast, roundTo: rules.roundTo, caps: caps.isEmpty ? nil : caps,
            lastTraining: try training(epochs: epochs),
            earlierTraining: try training(epochs: epochsBetween))

        let folder = try CompressionFolder(self.folder)
        let begun = try folder.stored(folder.plan) { plan }
        guard begun == plan else {
            throw Failure(
                .badInput,
                "\(folder.path) holds a compression with other options: "
                    + "\(plan.differences(from: begun).joined(separator: ", ")); resume it with its original "
                    + "command, or give another --folder")
        }
        try folder.ensure(folder.unpruned) { try folder.write(checkpoint, to: $0) }
        let dashboard = try livePage.open()
        dashboard?.report = URL(fileURLWithPath: folder.report).standardizedFileURL.path
        let session = try CompressionSession(
            plan, in: folder, images: images, sampling: sampling, cluster: cluster, dashboard: dashboard)
        let curve = try session.run(signals: signals)
        try exports.write(Checkpoint.network(at: folder.compressed))
        tell(curve, folder)
        dashboard?.step = ""
        dashboard?.show(.finished)
        dashboard?.bidFarewell()
    }

    /// The accuracy target, and how many held-out training images measure it; nil with a budget instead. Throws a
    /// `.badInput` ``Failure`` if there are too few of these, or no test images.
    private func goal(
        of data: DataSet, _ images: CompressionSession.Images
    ) throws -> (goal: CompressionPlan.Goal, validationImages: Int)? {
        guard let floor = try accuracy.floor else { return nil }
        guard images.heldOut == 0 else {
            throw Failure(
                .badInput,
                "\(data.source.path) has no test images, and the held-out images cannot both choose the size "
                    + "and measure the result. Add test_images or a folder test")
        }
        let all = images.training.count
        let count = recipe.validationImages > 0 ? recipe.validationImages : HeldOutImages.count(of: all)
        guard count > 0, count < all else {
            throw Failure(
                .badInput,
                "\(data.source.path) has \(all) training images: cannot hold out \(count); give another "
                    + "--validation-images")
        }
        return (CompressionPlan.Goal(floor: floor, removePerRound: removePerRound), count)
    }

    private func training(epochs: Int) throws -> TrainingSettings {
        try recipe.settings(epochs: epochs, seed: sampling.seed, distills: !noDistillation)
    }

    private func tell(_ curve: CompressionCurve, _ folder: CompressionFolder) {
        guard let last = curve.result else { return }
        print(
            "removed \(Text.percent(curve.removedFlops(last), 1)) of the FLOPs and \(Text.percent(curve.removedParameters(last), 1)) of "
                + "the parameters")
        print(
            "test accuracy: \(Text.percent(curve.start.testAccuracy, 2)) before, \(Text.percent(last.testAccuracy, 2)) after the last "
                + "epoch")
        if let accuracy = curve.accuracy, let kept = last.validationAccuracy {
            print(
                "accuracy on held-out training images: \(Text.percent(kept, 2)); target: at least "
                    + "\(Text.percent(accuracy.least, 2))")
        }
        print("network: \(folder.compressed); report: \(folder.report)")
    }
}
