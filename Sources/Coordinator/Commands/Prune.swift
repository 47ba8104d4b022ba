import Foundation
import Shared

/// `prune`: from a run, or a network, and a budget to the physically smaller network.
struct Prune: Command {
    static let description = CommandDescription(
        name: "prune", summary: "remove the filters that a budget can do without, and write the smaller network",
        discussion: """
            Chooses the filters whose removal is predicted to raise the loss least while every budget that is given \
            holds, removes them physically, and writes the network that is left. FLOPs are multiply-accumulates of \
            convolutions and linear layers. Filters are judged by a run's ensemble, or by a baseline (--method).

            Remove 64 % of the FLOPs and 60 % of the parameters, and fit the layers behind them anew:
              winnow-coordinator prune --run resnet56.run --remove-flops 0.64 --remove-parameters 0.60 \\
                --data cifar10 --reconstruct --output pruned.safetensors --onnx pruned.onnx
            Remove half of the hidden filters by their L1 norms:
              winnow-coordinator prune --model resnet20.th --method l1 --remove-filters 0.5 --output l1.safetensors
            Half of the FLOPs by squared gate gradients (Molchanov et al. 2019) on the first 1024 training images:
              winnow-coordinator prune --model resnet20.th --method taylor --data cifar10 --remove-flops 0.5 \\
                --output taylor.safetensors
            """)

    @Option("The run file that judges the filters; it also holds the network.", name: "run", value: "FILE")
    var runFile: String?
    @Option("The network's checkpoint, where there is no run.", value: "FILE") var model: String?
    @Option("How filters are judged: ensemble, ablation, l1, l2, geometric-median, taylor or random.", value: "METHOD")
    var method: PruningMethod = .ensemble
    @OptionGroup var budget = BudgetOptions()
    @Option("Which filters may go without a run: hidden or all. With one, those of its masks.", value: "SCOPE")
    var scope: SamplingOptions.Scope = .hidden
    @OptionGroup var rules = PruningRuleOptions()
    @Option("The seed of --method random.", value: "S") var seed: UInt64 = 1
    @Option("The training images of --method taylor, the first ones.", value: "N") var gradientImages: Int = 1024
    @Option("Write the smaller network, as safetensors.", value: "FILE") var output: String
    @Option("Write it as an ONNX model too.", value: "FILE") var onnx: String?
    @Option("Write it as a PyTorch module too: network.py and network.safetensors in a folder.", value: "FOLDER")
    var pytorch: String?
    @Option("Write what was removed, what that costs, and its predicted and measured loss.", value: "FILE")
    var json: String?
    @OptionGroup var measurement = PruneMeasurementOptions()

    func validate() throws {
        if method.needsRun && runFile == nil {
            throw Failure(.usage, "--method \(method.rawValue) needs --run; a network alone can be judged by l1 or l2")
        }
        guard (runFile == nil) != (model == nil) else {
            throw Failure(.usage, "give --run or --model: the run file holds its network")
        }
        try rules.validate()
        if method.needsGradients && measurement.data == nil {
            throw Failure(.usage, "--method \(method.rawValue) needs --data")
        }
        guard (1...Evaluation.imagesMax).contains(gradientImages) else {
            throw Failure(.usage, "--gradient-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try budget.validate()
        try measurement.validate()
    }

    func run() throws {
        let source = try PruningSource(run: runFile, model: model)
        let network = source.network
        let normalisation = source.settings?.normalisation ?? .standard
        let scores = try source.scores(
            method, scope: scope, seed: seed,
            gradients: try method.needsGradients
                ? measurement.gradients(images: gradientImages, normalisation: normalisation) : nil)
        let pruner = Pruner(
            network.architecture, scores: scores, model: rules.lossModel,
            rules: WidthRules(leastShare: rules.keepAtLeast, multiple: rules.roundTo))
        let outcome = try budget.outcome(of: pruner)

        let removed = try measurement.selected(from: network, scores: outcome.mask, normalisation: normalisation)
        let pruned = try measurement.pruned(network, removing: removed, normalisation: normalisation)
        let files = PrunedFiles(output: output, onnx: onnx, pytorch: pytorch)
        try files.write(pruned, normalisation: normalisation)

        var record = PruningRecord(
            commandLine: CommandLine.arguments, method: method.rawValue, lossModel: rules.lossModel.rawValue,
            selection: measurement.selectionRule,
            run: source.runIdentity, seed: method == .random ? seed : nil,
            before: PruningRecord.Size(network, fileBytes: Checkpoint.safetensors(of: network).count),
            after: PruningRecord.Size(pruned, fileBytes: try InputFile.size(of: output)),
            removedFilters: removed.disabledCount,
            layers: PruningRecord.Layer.all(in: FilterSpace(network.architecture), removing: removed),
            predictedLoss: outcome.predictedLoss, predictedLossBefore: pruner.unpruned.predictedLoss)
        try measurement.measure(
            output, unpruned: network, mask: removed, settings: source.settings, into: &record)
        if let json { try PrunedFiles.write(record.json(), to: json) }
        print(record.summary)
    }
}
