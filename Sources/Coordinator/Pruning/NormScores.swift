import Shared

/// A baseline that judges a filter by its weights alone.
public enum WeightNorm: String, Sendable, CaseIterable {
    /// The sum of the absolute weights (Li et al., "Pruning Filters for Efficient ConvNets", 2017).
    case l1
    /// The root of the sum of squares.
    case l2
    /// The sum of the distances to the layer's other filters (He et al., "Filter Pruning via Geometric Median", 2019).
    case geometricMedian = "geometric-median"

    /// The score of every filter of a network, by its number: higher is more important.
    ///
    /// Each layer's scores are divided by their mean, so that layers of different scales can be ranked together.
    /// O(weights), for the geometric median O(filters of a layer × weights).
    public func scores(_ network: Network) -> [Double] {
        FilterSpace(network.architecture).layers.flatMap { layer in
            let weight = network["\(layer.name).weight"]
            let size = weight.values.count / max(layer.filters.count, 1)
            let filters = (0..<layer.filters.count).map { index in
                weight.values[index * size..<(index + 1) * size].map(Double.init)
            }
            let scores = self.scores(filters)
            let mean = scores.reduce(0, +) / Double(max(scores.count, 1))
            return mean > 0 ? scores.map { $0 / mean } : scores
        }
    }

    private func scores(_ filters: [[Double]]) -> [Double] {
        switch self {
        case .l1: filters.map { $0.reduce(0) { $0 + abs($1) } }
        case .l2: filters.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        case .geometricMedian: filters.map { filter in filters.reduce(0) { $0 + Self.distance(filter, $1) } }
        }
    }

    private static func distance(_ a: [Double], _ b: [Double]) -> Double {
        var squares = 0.0
        for (x, y) in zip(a, b) { squares += (x - y) * (x - y) }
        return squares.squareRoot()
    }
}
