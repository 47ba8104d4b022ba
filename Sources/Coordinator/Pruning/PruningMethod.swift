import Foundation
import Shared

/// How filters are judged before they are removed.
public enum PruningMethod: String, Sendable, CaseIterable, ArgumentValue {
    /// By the additive model of a run's ensemble.
    case ensemble
    /// By the measurements of a run with the design `ablation`: each filter disabled alone.
    case ablation
    /// By the sum of the absolute weights.
    case l1
    /// By the root of the sum of squared weights.
    case l2
    /// By the distance to the layer's other filters.
    case geometricMedian = "geometric-median"
    /// By the squared gradient of the loss with respect to a gate on the filter (first-order Taylor).
    case taylor
    /// By chance.
    case random

    /// Whether it needs the evaluations of a run.
    var needsRun: Bool { self == .ensemble || self == .ablation }
    /// Whether it needs gradients on training images, which `winnow-worker` computes.
    var needsGradients: Bool { self == .taylor }
}

/// The value of keeping each filter, higher for those to keep.
public struct FilterScores: Sendable {
    /// Of every filter of the network, by its number; 0 if ``removable`` is not set.
    public let values: [Double]
    /// The filters that may be removed, set.
    public let removable: Mask
    /// How the scores become a loss; nil if they are not rises of one.
    public let prediction: LossPrediction?
    /// The standard error of each score; nil if unknown.
    private(set) var deviations: [Double]?
    /// The scores' certainty, in a sentence; nil if unknown.
    public var verdict: String?

    /// Scores that were made elsewhere.
    public init(values: [Double], removable: Mask, prediction: LossPrediction?) {
        precondition(values.count == removable.count, "one score for each filter")
        self.values = values
        self.removable = removable
        self.prediction = prediction
    }

    /// Scores of the network's hidden filters, or of all, from elsewhere, that are not rises of a loss.
    init(values: [Double], of network: Network, scope: SamplingOptions.Scope) {
        let space = FilterSpace(network.graph)
        let layers = space.layers.filter { scope == .all || $0.role == .hidden }
        self.init(
            values: values, removable: Mask(count: space.count, disabled: layers.flatMap(\.filters)), prediction: nil)
    }

    /// Scores by weight norms or by chance, of the network's hidden filters or of all.
    init(_ method: PruningMethod, of network: Network, scope: SamplingOptions.Scope, seed: UInt64) {
        let values: [Double]
        switch method {
        case .l1: values = WeightNorm.l1.scores(network)
        case .l2: values = WeightNorm.l2.scores(network)
        case .geometricMedian: values = WeightNorm.geometricMedian.scores(network)
        case .random:
            var generator = RandomGenerator(key: [seed, 0x7072_756e_65])
            var order = Array(0..<FilterSpace(network.graph).count)
            generator.shuffle(&order)
            values = order.map { Double($0 + 1) / Double(order.count) }
        case .ensemble, .ablation, .taylor: preconditionFailure("these need evaluations or gradients")
        }
        self.init(values: values, of: network, scope: scope)
    }

    /// Scores by the fit of an ensemble's evaluations. Filters about which no mask says anything stay. Measurements of
    /// smaller networks make forecasts of their losses.
    init(_ fit: AdditiveFit, of ensemble: Ensemble, measured: MeasuredChoices? = nil) {
        var values = [Double](repeating: 0, count: ensemble.filterCount)
        var deviations = values
        for estimate in fit.estimates {
            values[estimate.filter] = estimate.importance
            deviations[estimate.filter] = estimate.standardError
        }
        self.values = values
        self.deviations = deviations
        removable = Mask(count: ensemble.filterCount, disabled: fit.estimates.map(\.filter))
        let bends = fit.layers.map { layer in
            LossPrediction.Bend(curvature: layer.curvature, expected: layer.expected)
        }
        prediction = LossPrediction(
            response: fit.response, anchor: fit.meanResponse,
            bends: Dictionary(zip(ensemble.layers.map(\.filters), bends)) { first, _ in first },
            measured: (measured?.choices ?? []).map {
                (removed: Mask(count: ensemble.filterCount, disabled: $0.removed), loss: $0.loss)
            })
    }

    /// Scores by single-filter ablation. Throws a `.badInput` ``Failure`` if the run has another design or is not
    /// complete.
    public init(ablation ensemble: Ensemble, evaluations: [Evaluation?], response: Response) throws {
        guard ensemble.design == .ablation else {
            throw Failure(
                .badInput,
                "--method ablation needs a run with --design ablation, not \(ensemble.design.name)")
        }
        let filters = ensemble.participating
        guard ensemble.count == filters.count + 1, let base = evaluations.last ?? nil,
            let anchor = response.value(of: base)
        else {
            throw Failure(
                .badInput, "an ablation of \(filters.count) filters needs all of its \(filters.count + 1) masks")
        }
        var values = [Double](repeating: 0, count: ensemble.filterCount)
        for (index, filter) in filters.enumerated() {
            guard let evaluation = evaluations[index], let value = response.value(of: evaluation) else {
                throw Failure(.badInput, "mask \(index) of the ablation has no evaluation yet; 'resume' the run")
            }
            values[filter] = value - anchor
        }
        self.values = values
        removable = Mask(count: ensemble.filterCount, disabled: filters)
        prediction = LossPrediction(response: response, anchor: anchor, bends: [:])
    }
}
