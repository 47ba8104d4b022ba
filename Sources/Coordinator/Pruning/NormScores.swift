import CLAPACK
import Shared

/// A baseline that scores a filter by weights alone.
public enum WeightNorm: String, Sendable, CaseIterable {
    /// The sum of the absolute weights (Li et al., "Pruning Filters for Efficient ConvNets", 2017).
    case l1
    /// The root of the sum of squares.
    case l2
    /// The sum of the distances to the layer's other filters (He et al., "Filter Pruning via Geometric Median", 2019).
    case geometricMedian = "geometric-median"

    /// The score of every filter of a network, by its number: higher is more important.
    ///
    /// Each layer's scores are divided by their mean, to rank layers of different scales together. O(weights), for the
    /// geometric median O(filters of a layer × weights), on all processors.
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

    /// Bytes of filter products to compute together.
    private static let productBytesMax = 32 << 20

    /// The sum of the distances of each filter to all others, computing each distance once: |a − b|² = |a|² + |b|² − 2
    /// a·b, with the products as matrix products. The distance of almost equal filters is known to half of the digits.
    private static func sumsOfDistances(_ filters: [[Double]]) -> [Double] {
        let (count, size) = (filters.count, filters.first?.count ?? 0)
        guard count > 1, size > 0 else { return filters.map { _ in 0 } }
        let weights = Array(filters.joined())
        let squares = filters.map { $0.reduce(0) { $0 + $1 * $1 } }
        var sums = [Double](repeating: 0, count: count)
        let rowsMax = max(1, productBytesMax / (count * MemoryLayout<Double>.stride))
        for start in stride(from: 0, to: count, by: rowsMax) {
            let (rows, others) = (min(rowsMax, count - start), count - start)
            let products = [Double](unsafeUninitializedCapacity: rows * others) { buffer, filled in
                weights.withUnsafeBufferPointer { weights in
                    guard let base = weights.baseAddress else { return }
                    cblas_dgemm(
                        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(others), Int32(size), 1,
                        base + start * size, Int32(size), base + start * size, Int32(size), 0, buffer.baseAddress,
                        Int32(others))
                }
                filled = rows * others
            }
            for row in 0..<rows {
                for other in row + 1..<others {
                    let square = squares[start + row] + squares[start + other] - 2 * products[row * others + other]
                    let distance = max(square, 0).squareRoot()
                    sums[start + row] += distance
                    sums[start + other] += distance
                }
            }
        }
        return sums
    }
}
