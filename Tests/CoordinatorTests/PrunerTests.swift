import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// From scores to masks.
struct PrunerTests {
    /// Evaluations whose log-loss is `base` plus `rise` of the mask.
    private static func evaluations(
        _ ensemble: Ensemble, base: Double, rise: (Mask) -> Double
    ) -> [Evaluation?] {
        ensemble.masks(0..<ensemble.count).map { mask in
            let loss = exp(base + rise(mask))
            return Evaluation(lossSum: Int64(loss * 100 * Evaluation.unitsPerNat), correct: 50, images: 100)
        }
    }

    private static func ablation(_ space: FilterSpace, masks: Int? = nil) throws -> Ensemble {
        let all = space.layers.filter { $0.role == .hidden }.reduce(1) { $0 + $1.filters.count }
        return try Ensemble(
            .ablation, of: space, scope: SamplingScope(dropRate: 0.25), masks: masks ?? all, seed: 1)
    }

    /// Scores that are each filter's own contribution to the log-loss.
    private static func scores(_ architecture: Graph, _ effects: [Double], base: Double) throws -> FilterScores {
        let ensemble = try ablation(FilterSpace(architecture))
        let evaluations = evaluations(ensemble, base: base) { $0.disabled.reduce(0) { $0 + effects[$1] } }
        return try FilterScores(ablation: ensemble, evaluations: evaluations, response: .logLoss)
    }

    @Test func anAblationDisablesEachFilterAloneAndThenNone() throws {
        let space = FilterSpace(.residual(widths: [4, 6], blocksPerStage: 1))
        let ensemble = try Self.ablation(space)
        let disabled = ensemble.masks(0..<ensemble.count).map(\.disabled)
        let hidden = space.layers.filter { $0.role == .hidden }.flatMap { $0.filters.map { [$0] } }
        #expect(disabled == hidden + [[]])
        #expect(throws: Failure.self) { try Self.ablation(space, masks: ensemble.count + 1) }
    }

    @Test func ablationScoresAreWhatEachFilterAloneDoes() throws {
        let architecture = Graph.fullyConnected(widths: [8, 5, 4, 3])
        let effects = (0..<9).map { 0.1 * Double($0 * 4 % 9) - 0.05 }
        let scores = try Self.scores(architecture, effects, base: -1)
        for (found, expected) in zip(scores.values, effects) { #expect(abs(found - expected) < 1e-6) }
        #expect(scores.removable.disabledCount == 9)
    }

    @Test func anUnfinishedAblationIsRefused() throws {
        let ensemble = try Self.ablation(FilterSpace(.fullyConnected(widths: [8, 5, 4, 3])))
        var evaluations = Self.evaluations(ensemble, base: 0) { _ in 0 }
        evaluations[3] = nil
        #expect(throws: Failure.self) {
            try FilterScores(ablation: ensemble, evaluations: evaluations, response: .logLoss)
        }
    }

    @Test func theLeastImportantFiltersGoAndTheLossIsPredicted() throws {
        let architecture = Graph.fullyConnected(widths: [8, 6, 6, 3])
        let effects = [0.5, 0.01, 0.4, 0.02, 0.6, 0.7, 0.03, 0.9, 0.04, 0.8, 0.75, 0.85]
        let scores = try Self.scores(architecture, effects, base: log(0.5))
        let pruner = Pruner(architecture, scores: scores, model: .additive, rules: WidthRules())
        let outcome = try pruner.prune(to: PruningBudget(removedFiltersMin: 4))
        #expect(outcome.mask.disabled == [1, 3, 6, 8])
        let predicted = try #require(outcome.predictedLoss)
        #expect(abs(predicted - 0.5 * exp(0.1)) < 1e-6)
        let unpruned = try #require(pruner.unpruned.predictedLoss)
        #expect(abs(unpruned - 0.5) < 1e-6)
    }

    @Test func aLossRiseIsUsedUpButNotExceeded() throws {
        let architecture = Graph.fullyConnected(widths: [8, 16, 16, 3])
        let effects = (0..<32).map { 0.002 * Double(1 + $0 * 7 % 32) }
        let scores = try Self.scores(architecture, effects, base: 0)
        let pruner = Pruner(architecture, scores: scores, model: .additive, rules: WidthRules())
        let outcome = try pruner.prune(to: PruningBudget(), lossRiseMax: 0.1)
        let rise = try #require(outcome.predictedLoss) - 1
        #expect(rise <= 0.1)
        #expect(rise > 0.07)
        #expect(throws: Failure.self) { try pruner.prune(to: PruningBudget(removedFiltersMin: 28), lossRiseMax: 0.1) }
    }

    /// The widths of a graph's layers after an outcome's removals.
    private static func widths(_ graph: Graph, _ outcome: Pruner.Outcome) -> [String: Int] {
        Dictionary(
            uniqueKeysWithValues: FilterSpace(graph).layers.map { layer in
                (layer.name, layer.filters.filter { !outcome.mask[$0] }.count)
            })
    }

    @Test func cappedLayersKeepTheirShareAndTheOthersPay() throws {
        var generator = SeededGenerator(seed: 3)
        let graph = Graph.residual(widths: [8, 10], blocksPerStage: 2, imageSize: 16)
        let network = Network.random(graph, using: &generator)
        let scores = FilterScores(.l1, of: network, scope: .all, seed: 1)
        let caps = [
            LayerCap(pattern: "layer1", keptShare: 1), LayerCap(pattern: "layer2.*.conv1", keptShare: 0.7),
        ]
        let rules = WidthRules(leastShareOfLayer: LayerCap.leastShares(caps, in: graph, of: graph))
        let outcome = try Pruner(graph, scores: scores, model: .additive, rules: rules)
            .prune(to: PruningBudget(removedFiltersMin: 8))
        let widths = Self.widths(graph, outcome)
        // The first stage's stream is one with the first convolution's: neither can go.
        for name in ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"] { #expect(widths[name] == 8) }
        for name in ["layer2.0.conv1", "layer2.1.conv1"] { #expect(try #require(widths[name]) >= 7) }
        #expect(outcome.mask.disabledCount >= 8)
        #expect(throws: Failure.self) {
            try Pruner(graph, scores: scores, model: .additive, rules: rules)
                .prune(to: PruningBudget(removedFiltersMin: 40))
        }
        #expect(throws: Failure.self) {
            try LayerCap.check([LayerCap(pattern: "layer3", keptShare: 1)], fit: graph)
        }
    }

    /// Searches with an accuracy that falls linearly with the removed FLOPs.
    private static func search(accuracyMin: Double, from budget: PruningBudget) throws -> (Double, tried: [Double]) {
        var generator = SeededGenerator(seed: 4)
        let network = Network.random(.fullyConnected(widths: [8, 64, 64, 3]), using: &generator)
        let scores = FilterScores(.l1, of: network, scope: .hidden, seed: 1)
        let pruner = Pruner(network.graph, scores: scores, model: .additive, rules: WidthRules())
        let flops = Double(network.graph.cost().multiplyAccumulates)
        var tried: [Double] = []
        let search = AccuracySearch(pruner: pruner, accuracyMin: accuracyMin) { outcome in
            let smaller = try network.removing(outcome.mask)
            let removed = 1 - Double(smaller.graph.cost().multiplyAccumulates) / flops
            tried.append(removed)
            return AccuracySearch.Attempt(
                outcome: outcome, removed: outcome.mask, network: smaller, accuracy: 1 - removed, flopsRemoved: removed)
        }
        return (try search.search(budget).flopsRemoved, tried)
    }

    @Test(arguments: [0.9, 0.62, 0.3]) func asMuchGoesAsTheAccuracyAllows(accuracy: Double) throws {
        let (found, tried) = try Self.search(accuracyMin: accuracy, from: PruningBudget())
        #expect(found <= 1 - accuracy && found > 1 - accuracy - 0.03)
        #expect(tried.count <= 8)
    }

    @Test func aBudgetThatAloneCostsTooMuchIsNamed() {
        let error = #expect(throws: Failure.self) {
            try Self.search(accuracyMin: 0.9, from: PruningBudget(multiplyAccumulatesMax: 2000))
        }
        #expect(error?.description.contains("90.00 %") == true)
    }

    @Test func filtersThatStayInAnyCaseCountForWhatALayerKeeps() throws {
        let graph = Graph.fullyConnected(widths: [8, 10, 3])
        // Two of ten are removable: both can go, since the other eight stay.
        let scores = FilterScores(
            values: [Double](repeating: 1, count: 10), removable: Mask(count: 10, disabled: [3, 7]), prediction: nil)
        let pruner = Pruner(graph, scores: scores, model: .additive, rules: WidthRules(leastShare: 0.8))
        #expect(try pruner.prune(to: PruningBudget(removedFiltersMin: 2)).mask.disabled == [3, 7])
        let strict = Pruner(graph, scores: scores, model: .additive, rules: WidthRules(leastShare: 0.85))
        #expect(throws: Failure.self) { try strict.prune(to: PruningBudget(removedFiltersMin: 2)) }
    }

    @Test func aCapIsAShareOfTheUnprunedLayerInEveryRound() throws {
        let unpruned = Graph.fullyConnected(widths: [8, 10, 10, 3])
        let pruned = Graph.fullyConnected(widths: [8, 8, 10, 3])
        let names = FilterSpace(unpruned).layers.map(\.name)
        let caps = [LayerCap(pattern: names[0], keptShare: 0.7)]
        #expect(LayerCap.leastShares(caps, in: pruned, of: unpruned) == [names[0]: 7.0 / 8])
    }

    @Test func normsPredictNoLoss() throws {
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(.fullyConnected(widths: [8, 6, 6, 3]), using: &generator)
        let scores = FilterScores(.l1, of: network, scope: .hidden, seed: 1)
        let pruner = Pruner(network.graph, scores: scores, model: .additive, rules: WidthRules())
        #expect(try pruner.prune(to: PruningBudget(removedFiltersMin: 3)).predictedLoss == nil)
        #expect(throws: Failure.self) { try pruner.prune(to: PruningBudget(), lossRiseMax: 1) }
    }

    @Test func aScarceLayerCostsMoreTheEmptierItIs() {
        let dimension = RemovalSpace.Dimension(
            layers: [RemovalSpace.Dimension.Layer(name: "layer", filtersPerUnit: 1, fixed: 0)],
            units: [[0], [1], [2], [3]])
        let scores = FilterScores(values: [0.4, 0.1, 0.2, 0.3], removable: Mask(count: 4), prediction: nil)
        let order = RemovalOrder(dimension, scores, .scarce)
        #expect(order.units == [[1], [2], [3], [0]])
        let expected = [0, 0.1, 0.1 + 0.2 * 4 / 3, 0.1 + 0.2 * 4 / 3 + 0.3 * 2, 0.1 + 0.2 * 4 / 3 + 0.3 * 2 + 0.4 * 4]
        for (a, b) in zip(order.curve, expected) { #expect(abs(a - b) < 1e-12) }
    }

    @Test func aFitsCurvatureBendsTheCurve() {
        let dimension = RemovalSpace.Dimension(
            layers: [RemovalSpace.Dimension.Layer(name: "layer", filtersPerUnit: 1, fixed: 0)],
            units: [[0], [1], [2], [3]])
        let prediction = LossPrediction(
            response: .logLoss, anchor: 0, bends: [0..<4: LossPrediction.Bend(curvature: 0.01, expected: 1)])
        let scores = FilterScores(values: [0.1, 0.1, 0.1, 0.1], removable: Mask(count: 4), prediction: prediction)
        let order = RemovalOrder(dimension, scores, .curved)
        for (removed, value) in order.curve.enumerated() {
            let bend = 0.01 * (Double((removed - 1) * (removed - 1)) - 1)
            #expect(abs(value - 0.1 * Double(removed) - bend) < 1e-12)
        }
    }

    @Test func anEnsembleRecoversWhichFiltersMatter() throws {
        let architecture = Graph.fullyConnected(widths: [8, 16, 16, 3])
        let important: Set<Int> = [1, 4, 9, 17, 20, 25, 30]
        let ensemble = try Ensemble(
            .balanced, of: FilterSpace(architecture), scope: SamplingScope(dropRate: 0.25), masks: 400, seed: 5)
        let evaluations = Self.evaluations(ensemble, base: -1) { mask in
            mask.disabled.reduce(0) { $0 + (important.contains($1) ? 0.3 : 0.01) }
        }
        let scores = FilterScores(try AdditiveFit(ensemble, evaluations: evaluations), of: ensemble)
        for model in LossModel.allCases {
            let pruner = Pruner(architecture, scores: scores, model: model, rules: WidthRules())
            let removed = try pruner.prune(to: PruningBudget(removedFiltersMin: 20)).mask.disabled
            #expect(removed.count == 20)
            #expect(important.isDisjoint(with: removed))
        }
    }
}
