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
    @Option(
        "Refine the ensemble's choice with so many further masks of the network that the budget leaves, in rounds of 64 on "
            + "training images, before it is taken; 256 are often enough. Needs --data. --reconstruct has a selection of its "
            + "own: with both, give --selection scores.", value: "MASKS")
    var refine: Int?
    @Option("Write the smaller network, as safetensors.", value: "FILE") var output: String?
    @OptionGroup var exports = ExportOptions()
    @Option("Write what was removed, what that costs, and its predicted and measured loss.", value: "FILE")
    var json: String?
    @Flag("Tell what would be removed, and write no network.") var dryRun: Bool
    @Flag("List the layers and what each loses.") var verbose: Bool
    @OptionGroup var measurement = PruneMeasurementOptions()

    /// More masks would be another run.
    private static let refiningMasksMax = 65_536

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
        if let refine {
            guard (1...Self.refiningMasksMax).contains(refine) else {
                throw Failure(.usage, "--refine must be from 1 to \(Self.refiningMasksMax) masks")
            }
            guard ranking == nil, method == .ensemble else {
                throw Failure(.usage, "--refine is for --method ensemble, whose scores say how sure they are")
            }
            guard measurement.data != nil else { throw Failure(.usage, "--refine needs --data") }
            guard measurement.selectionRule == .scores else {
                throw Failure(
                    .usage,
                    "--refine and --reconstruct each choose within a layer; give one of them, or --selection scores")
            }
        }
        try budget.validate()
        if try budget.accuracy.floor != nil, measurement.data == nil {
            throw Failure(.usage, "--max-accuracy-drop and --min-accuracy need --data")
        }
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
        let scores = try scores(source, images)
        let widths = try rules.widths(for: network.graph)
        let pruner = Pruner(network.graph, scores: scores, model: rules.lossModel, rules: widths)
        let latency = try fastEnough(network, scores, widths)
        let refiner = try refiner(of: source, pruner, widths, images)
        let (choice, removed, pruned, heldOut) = try pruned(
            network, by: pruner, latency?.found.outcome, images, refiner)
        let outcome = choice.outcome
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
        record.heldOut = heldOut
        record.refinement = choice.refinement
        record.latency = latency?.record
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

    /// What makes the network as fast as was asked for; nil where that is no budget.
    private func fastEnough(
        _ network: Network, _ scores: FilterScores, _ widths: WidthRules
    ) throws -> (found: LatencySearch.Found, record: PruningRecord.Latency)? {
        guard let speedup = budget.latency.targetSpeedup else { return nil }
        let search = LatencySearch(
            network: network, scores: scores, lossModel: rules.lossModel, rules: widths,
            multiple: rules.$roundTo.isGiven ? rules.roundTo : nil,
            meter: try budget.latency.meter(threads: measurement.threads), seed: seed)
        let found = try search.search(speedup: speedup) { Log.shared.line($0) }
        let record = PruningRecord.Latency(
            program: budget.latency.latencyCommand ?? "Winnow's engine", targetSpeedup: speedup,
            millisecondsBefore: found.millisecondsBefore, milliseconds: found.milliseconds, multiple: found.multiple)
        return (found, record)
    }

    /// What goes, and the network that is left, as the budget or the accuracy says.
    private func pruned(
        _ network: Network, by pruner: Pruner, _ chosen: Pruner.Outcome?, _ images: PruningImages?,
        _ refine: @escaping Refiner
    ) throws -> (Choice, removed: Mask, Network, PruningRecord.HeldOut?) {
        guard let floor = try budget.accuracy.floor, let images else {
            let choice = try refine(chosen ?? budget.outcome(of: pruner))
            let removed = try measurement.selected(from: network, scores: choice.outcome.mask, images: images)
            return (choice, removed, try measurement.pruned(network, removing: removed, images: images), nil)
        }
        let accuracy = try measurement.heldOut(budget.validationImages, of: images)
        let flops = Double(network.graph.cost().multiplyAccumulates)
        Log.shared.step("measuring the unpruned network on \(accuracy.count) held-out training images")
        let reference = try accuracy(network)
        let least = floor.least(of: reference)
        let search = AccuracySearch(pruner: pruner, accuracyMin: least) { first in
            let (outcome, refinement) = try refine(first)
            let removed = try measurement.selected(from: network, scores: outcome.mask, images: images)
            let pruned = try measurement.pruned(network, removing: removed, images: images)
            Log.shared.step("measuring on the held-out images")
            let attempt = AccuracySearch.Attempt(
                outcome: outcome, removed: removed, network: pruned, accuracy: try accuracy(pruned),
                flopsRemoved: 1 - Double(pruned.graph.cost().multiplyAccumulates) / flops, refinement: refinement)
            Log.shared.line(
                "without \(Text.percent(attempt.flopsRemoved, 1)) of the FLOPs: \(Text.percent(attempt.accuracy, 2)) of "
                    + "\(accuracy.count) held-out training images "
                    + (attempt.accuracy >= least ? "(enough)" : "(less than \(Text.percent(least, 2)))"))
            return attempt
        }
        let found = try search.search(budget.least(of: pruner))
        let heldOut = PruningRecord.HeldOut(
            images: accuracy.count, accuracyBefore: reference, accuracyMin: least, accuracy: found.accuracy)
        return ((found.outcome, found.refinement), found.removed, found.network, heldOut)
    }

    /// What goes, and how it was refined.
    private typealias Choice = (outcome: Pruner.Outcome, refinement: PruningRecord.Refinement?)
    /// Makes a better choice of one.
    private typealias Refiner = (Pruner.Outcome) throws -> Choice

    /// What refines the ranking's choices, as it was asked for.
    private func refiner(
        of source: PruningSource, _ pruner: Pruner, _ widths: WidthRules, _ images: PruningImages?
    ) throws -> Refiner {
        guard let refine, let images, let settings = source.settings else { return { ($0, nil) } }
        let cheap = try source.cheapScores()
        let search = RefinementSearch(
            network: source.network, pruner: pruner, settings: settings, jobs: images.jobs,
            criteria: cheap.map(\.values), seed: seed)
        let criteria = cheap.map { criterion, values in
            let scores = FilterScores(values: values, removable: pruner.scores.removable, prediction: nil)
            return (
                criterion: criterion,
                pruner: Pruner(source.network.graph, scores: scores, model: rules.lossModel, rules: widths)
            )
        }
        return { first in
            // The same widths in another order, and other widths that cost no more.
            let others = criteria.flatMap { criterion, pruner in
                [
                    pruner.outcome(removed: first.removed),
                    try? pruner.prune(to: budget.limits(atMost: first, of: pruner)),
                ].compactMap { $0 }.map { outcome in
                    RefinementSearch.Candidate(
                        origin: criterion == .taylor ? .taylor : .l1Norm, outcome: outcome.removing(outcome.mask))
                }
            }
            Log.shared.step("refining the choice with \(refine) masks")
            let found = try search.search(from: first, masks: refine, others: others) { Log.shared.line($0) }
            return (found.outcome, found.record)
        }
    }

    private func scores(_ source: PruningSource, _ images: PruningImages?) throws -> FilterScores {
        if let ranking { return try RankingFile.scores(at: ranking, of: source.network) }
        return try source.scores(
            method, scope: scope, seed: seed,
            gradients: try method.needsGradients
                ? measurement.gradients(images: gradientImages, of: images) : nil)
    }
}
