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
        FilterSpace(network.graph).layers.flatMap { layer in
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
        case .geometricMedian: Self.sumsOfDistances(filters)
        }
    }

    /// The sum of the distances of each filter to all others, each distance once.
    private static func sumsOfDistances(_ filters: [[Double]]) -> [Double] {
        let size = filters.first?.count ?? 0
        // Weight after weight, so that the squares of neighbouring filters are summed side by side; as they were stored.
        var weights: [Float] = []
        weights.reserveCapacity(size * filters.count)
        for place in 0..<size { for filter in filters { weights.append(Float(filter[place])) } }
        var sums = [Double](repeating: 0, count: filters.count)
        for first in filters.indices {
            let others = first + 1..<filters.count
            var squares = [Double](repeating: 0, count: filters.count)
            weights.withUnsafeBufferPointer { weights in
                squares.withUnsafeMutableBufferPointer { squares in
                    for start in stride(from: 0, to: weights.count, by: squares.count) {
                        let weight = Double(weights[start + first])
                        for other in others {
                            let difference = weight - Double(weights[start + other])
                            squares[other] += difference * difference
                        }
                    }
                }
            }
            for other in others {
                let distance = squares[other].squareRoot()
                sums[first] += distance
                sums[other] += distance
            }
        }
        return sums
    }
}
