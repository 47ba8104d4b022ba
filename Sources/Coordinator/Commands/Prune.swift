import Foundation
import Shared

/// `prune`: from a run, or a network, and a budget to the physically smaller network.
struct Prune: Command {
    static let description = CommandDescription(
        name: "prune", summary: "remove the filters that a budget can do without, and write the smaller network",
        discussion: """
            Chooses the filters whose removal is predicted to raise the loss least while every budget that is given \
            holds, removes them physically, and writes the network that is left. FLOPs are multiply-accumulates of \
            convolutions and linear layers. A run's ensemble judges the filters, or a baseline (--method), or a table of \
            your own (--ranking).

            Remove 64 % of the FLOPs and 60 % of the parameters, and refit the layers after them:
              winnow-coordinator prune --run resnet56.run --remove-flops 0.64 --remove-parameters 0.60 \\
                --data cifar10 --reconstruct --output pruned.safetensors --onnx pruned.onnx
            Remove half of the hidden filters by their L1 norms:
              winnow-coordinator prune --model resnet20.th --method l1 --remove-filters 50% --output l1.safetensors
            Half of the FLOPs by squared gate gradients (Molchanov et al. 2019) on the first 1024 training images:
              winnow-coordinator prune --model resnet20.th --method taylor --data cifar10 --remove-flops 0.5 \\
                --output taylor.safetensors
            See what would go, and write nothing:
              winnow-coordinator prune --run resnet56.run --remove-flops 0.5 --dry-run --verbose
            """)

    @Option("The run file that judges the filters; it also holds the network.", name: "run", value: "FILE")
    var runFile: String?
    @Option("The network's checkpoint, where there is no run.", value: "FILE") var model: String?
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("How filters are judged: ensemble, ablation, l1, l2, geometric-median, taylor or random.", value: "METHOD")
    var method: PruningMethod = .ensemble
    @Option(
        "Judge the filters by the column 'importance' of this CSV file, beside 'layer' and 'filter'; only filters that "
            + "it names may go.", value: "FILE") var ranking: String?
    @OptionGroup var budget = BudgetOptions()
    @Option("Which filters may go without a run: hidden or all. With one, those of its masks.", value: "SCOPE")
    var scope: SamplingOptions.Scope = .hidden
    @OptionGroup var rules = PruningRuleOptions()
    @Option("The seed of --method random.", value: "S") var seed: UInt64 = 1
    @Option("The training images of --method taylor, the first ones.", value: "N") var gradientImages: Int = 1024
    @Option("Write the smaller network, as safetensors.", value: "FILE") var output: String?
    @OptionGroup var exports = ExportOptions()
    @Option("Write what was removed, what that costs, and its predicted and measured loss.", value: "FILE")
    var json: String?
    @Flag("Tell what would be removed, and write no network.") var dryRun: Bool
    @Flag("List the layers and what each loses.") var verbose: Bool
    @OptionGroup var measurement = PruneMeasurementOptions()

    func validate() throws {
        if ranking != nil, $method.isGiven { throw Failure(.usage, "give --ranking or --method") }
        if ranking == nil, method.needsRun, runFile == nil {
            throw Failure(
                .usage,
                "--method \(method.rawValue) needs --run; a network alone can be judged by l1 or l2, or by --ranking")
        }
        guard (runFile == nil) != (model == nil) else {
            throw Failure(.usage, "give --run or --model: the run file holds its network")
        }
        guard output != nil || dryRun else {
            throw Failure(.usage, "--output is missing (write the smaller network there); --dry-run writes nothing")
        }
        if dryRun, output != nil || exports.isAsked { throw Failure(.usage, "--dry-run writes no network") }
        try rules.validate()
        try checkpoint.validate()
        if ranking == nil, method.needsGradients, measurement.data == nil {
            throw Failure(.usage, "--method \(method.rawValue) needs --data")
        }
        guard (1...Evaluation.imagesMax).contains(gradientImages) else {
            throw Failure(.usage, "--gradient-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try budget.validate()
        try measurement.validate()
    }

    func run() throws {
        let inputs = [runFile, model, ranking]
        for file in [output, json] { try OutputGuard(reading: inputs, isForced: exports.force).check(file) }
        try exports.check(reading: inputs)
        var source = try self.source()
        let images = try measurement.images(of: source)
        if let normalisation = images?.normalisation ?? source.settings?.normalisation {
            source = source.normalising(by: normalisation)
        }
        if let images, runFile == nil { try measurement.checkRecognition(of: source.network, images) }
        let network = source.network
        Log.shared.step("judging the filters")
        let pruner = Pruner(
            network.graph, scores: try scores(source, images), model: rules.lossModel,
            rules: WidthRules(leastShare: rules.keepAtLeast, multiple: rules.roundTo))
        let outcome = try budget.outcome(of: pruner)

        let removed = try measurement.selected(from: network, scores: outcome.mask, images: images)
        let pruned = try measurement.pruned(network, removing: removed, images: images)
        let bytes = Checkpoint.safetensors(of: pruned)
        if let output { try OutputFile.write(bytes, to: output) }
        try exports.write(pruned)

        var record = PruningRecord(
            commandLine: CommandLine.arguments, method: ranking ?? method.rawValue, lossModel: rules.lossModel.rawValue,
            selection: measurement.selectionRule,
            run: source.runIdentity, seed: ranking == nil && method == .random ? seed : nil,
            before: PruningRecord.Size(network, fileBytes: Checkpoint.safetensors(of: network).count),
            after: PruningRecord.Size(pruned, fileBytes: bytes.count),
            removedFilters: removed.disabledCount,
            layers: PruningRecord.Layer.all(in: FilterSpace(network.graph), removing: removed),
            labels: source.settings?.labels, predictedLoss: outcome.predictedLoss,
            predictedLossBefore: pruner.unpruned.predictedLoss,
            forecast: outcome.forecast, verdict: pruner.scores.verdict)
        try measurement.measure(
            pruned, unpruned: network, mask: removed, settings: source.settings, images: images, into: &record)
        Log.shared.clearStatus()
        if let json { try OutputFile.write(Array(record.json()), to: json) }
        print(record.summary(byLayer: verbose))
        if let output { print("written: \(output)") }
    }

    private func source() throws -> PruningSource {
        if let runFile { return try PruningSource(run: runFile) }
        guard let model else { throw Failure(.usage, "give --run or --model") }
        return PruningSource(
            try Checkpoint.network(at: model, image: try measurement.imageShape(), hints: checkpoint.hints))
    }

    private func scores(_ source: PruningSource, _ images: PruningImages?) throws -> FilterScores {
        if let ranking { return try RankingFile.scores(at: ranking, of: source.network) }
        return try source.scores(
            method, scope: scope, seed: seed,
            gradients: try method.needsGradients
                ? measurement.gradients(images: gradientImages, of: images) : nil)
    }
}
