import Foundation
import Shared

/// What cheap criteria say about a network's filters before any mask is evaluated. They give the importances prior
/// means; the masks decide how much each criterion counts, in each layer (see ``ModelTerms``).
public struct FilterFeatures: Sendable, Equatable {
    /// A criterion.
    public enum Criterion: String, Sendable, Codable, CaseIterable {
        /// The mean squared gradient of the loss at a gate on the filter (first-order Taylor).
        case taylor
        /// The sum of the weights' absolute values.
        case l1Norm
        /// The absolute scale of the batch norm after the filter.
        case batchNormScale

        /// Its name in a sentence.
        public var words: String {
            switch self {
            case .taylor: "Taylor"
            case .l1Norm: "L1 norms"
            case .batchNormScale: "batch norms\u{2019} scales"
            }
        }
    }

    /// A criterion's scores of all filters of a network, standardised.
    struct Feature: Sendable, Equatable {
        let criterion: Criterion
        /// The logarithm of each filter's score, standardised within its layer; 0 in a layer of equal scores.
        let values: [Double]
    }

    /// The criteria.
    let list: [Feature]

    /// No criterion.
    public static let none = FilterFeatures(list: [])

    private init(list: [Feature]) { self.list = list }

    /// Scores below this share of their layer's mean count as this much, so a dead filter is no outlier.
    private static let shareMin = 1e-4

    /// The features of a network's filters, from its parameters and, if known, from the Taylor scores of all its
    /// filters.
    public init(_ network: Network, taylor: [Double]? = nil) {
        var scores: [(criterion: Criterion, values: [Double])] = []
        if let taylor { scores.append((.taylor, taylor)) }
        scores.append((.l1Norm, network.l1Norms))
        if let scales = Self.batchNormScales(network) { scores.append((.batchNormScale, scales)) }
        self.init(scores, in: FilterSpace(network.graph))
    }

    /// Features from scores of all filters of a network.
    init(_ scores: [(criterion: Criterion, values: [Double])], in space: FilterSpace) {
        list = scores.map { criterion, values in
            Feature(
                criterion: criterion,
                values: space.layers.flatMap { Self.standardised(Array(values[$0.filters])) })
        }
    }

    /// Logarithms with mean 0 and variance 1.
    static func standardised(_ scores: [Double]) -> [Double] {
        let count = Double(max(scores.count, 1))
        let least = shareMin * scores.reduce(0, +) / count
        guard least > 0, least.isFinite else { return scores.map { _ in 0 } }
        let logs = scores.map { log(max($0, least)) }
        let mean = logs.reduce(0, +) / count
        let deviation = (logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
        return logs.map { deviation > 1e-6 ? ($0 - mean) / deviation : 0 }
    }

    /// The absolute scale of the batch norm after each filter's layer; nil if no layer has one.
    private static func batchNormScales(_ network: Network) -> [Double]? {
        let graph = network.graph
        var hasAny = false
        let scales = FilterSpace(graph).layers.flatMap { layer -> [Double] in
            guard let node = graph.nodes.firstIndex(where: { $0.name == layer.name }),
                let norm = graph.readers[node].first(where: {
                    if case .batchNorm = graph.nodes[$0].operation { true } else { false }
                })
            else { return layer.filters.map { _ in 0 } }
            let values = network["\(graph.nodes[norm].name).weight"].values
            guard values.count == layer.filters.count else { return layer.filters.map { _ in 0 } }
            hasAny = true
            return values.map { Double(abs($0)) }
        }
        return hasAny ? scales : nil
    }
}
