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

            Remove 64 % of the FLOPs and 60 % of the parameters, with fresh batch-norm statistics:
              winnow-coordinator prune --run resnet56.run --remove-flops 0.64 --remove-parameters 0.60 \\
                --data cifar10 --recalibrate --output pruned.safetensors --onnx pruned.onnx
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
    @Option("How the scores of many filters of one layer add up: additive, scarce or curved.", value: "MODEL")
    var lossModel: LossModel = .scarce
    @OptionGroup var budget = BudgetOptions()
    @Option("Which filters may go without a run: hidden or all. With one, those of its masks.", value: "SCOPE")
    var scope: SamplingOptions.Scope = .hidden
    @Option("The share of its filters that every layer keeps at least; one always stays.", value: "SHARE")
    var keepAtLeast: Double = 0.1
    @Option("Round the filters that a pruned layer keeps to a multiple of this.", value: "M") var roundTo: Int = 1
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
        guard (0..<1).contains(keepAtLeast) else {
            throw Failure(.usage, "--keep-at-least must be a share, at least 0 and below 1")
        }
        guard (1...64).contains(roundTo) else { throw Failure(.usage, "--round-to must be from 1 to 64") }
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
            network.architecture, scores: scores, model: lossModel,
            rules: WidthRules(leastShare: keepAtLeast, multiple: roundTo))
        let outcome = try budget.outcome(of: pruner)

        let pruned = network.removing(outcome.mask)
        let files = PrunedFiles(output: output, onnx: onnx, pytorch: pytorch)
        try files.write(pruned, normalisation: normalisation)
        if measurement.recalibrate {
            let recalibrated = try measurement.recalibrated(output, normalisation: normalisation)
            try files.write(recalibrated, normalisation: normalisation)
        }

        var record = PruningRecord(
            commandLine: CommandLine.arguments, method: method.rawValue, lossModel: lossModel.rawValue,
            run: source.runIdentity, seed: method == .random ? seed : nil,
            before: PruningRecord.Size(network, fileBytes: Checkpoint.safetensors(of: network).count),
            after: PruningRecord.Size(pruned, fileBytes: try InputFile.size(of: output)),
            removedFilters: outcome.mask.disabledCount,
            layers: PruningRecord.Layer.all(in: FilterSpace(network.architecture), removing: outcome.mask),
            predictedLoss: outcome.predictedLoss, predictedLossBefore: pruner.unpruned.predictedLoss)
        try measurement.measure(output, unpruned: network, settings: source.settings, into: &record)
        if let json { try PrunedFiles.write(record.json(), to: json) }
        print(record.summary)
    }
}

/// What decides a pruning's budget.
struct BudgetOptions {
    @Option("Remove at least this share of the FLOPs.", value: "SHARE") var removeFlops: Double?
    @Option("Remove at least this share of the parameters.", value: "SHARE") var removeParameters: Double?
    @Option("Remove this share of the filters that may go, or from 1 up this number of them.", value: "SHARE|N")
    var removeFilters: Double?
    @Option(
        "Remove as many FLOPs as this rise of the predicted loss, in nats, allows; the other budgets hold too.",
        value: "NATS") var maxLossRise: Double?

    func validate() throws {
        guard removeFlops != nil || removeParameters != nil || removeFilters != nil || maxLossRise != nil else {
            throw Failure(
                .usage, "no budget: give --remove-flops, --remove-parameters, --remove-filters or --max-loss-rise")
        }
        for (name, share) in [("--remove-flops", removeFlops), ("--remove-parameters", removeParameters)] {
            guard let share else { continue }
            guard (0..<1).contains(share) else {
                throw Failure(.usage, "\(name) must be a share, at least 0 and below 1, not \(share)")
            }
        }
        if let removeFilters {
            let isNumber = removeFilters >= 1 && removeFilters == removeFilters.rounded() && removeFilters < 1e9
            guard (0..<1).contains(removeFilters) || isNumber else {
                throw Failure(.usage, "--remove-filters must be a share below 1 or a whole number")
            }
        }
        if let maxLossRise, maxLossRise < 0 { throw Failure(.usage, "--max-loss-rise must not be negative") }
    }

    /// The pruner's choice under the budget.
    func outcome(of pruner: Pruner) throws -> Pruner.Outcome {
        let all = pruner.architecture.cost()
        func most(_ share: Double?, of cost: Int) -> Int? {
            share.map { Int(((1 - $0) * Double(cost)).rounded(.down)) }
        }
        let filters = removeFilters.map { $0 < 1 ? Int(($0 * Double(pruner.space.filters)).rounded()) : Int($0) }
        let budget = PruningBudget(
            multiplyAccumulatesMax: most(removeFlops, of: all.multiplyAccumulates),
            parametersMax: most(removeParameters, of: all.parameters), removedFiltersMin: filters)
        guard let maxLossRise else { return try pruner.prune(to: budget) }
        return try pruner.prune(to: budget, lossRiseMax: maxLossRise)
    }
}
