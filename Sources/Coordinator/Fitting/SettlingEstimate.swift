import Shared

/// How far a ranking has settled, cheaply, while the run goes on.
///
/// The masks are halved (masks that share segments stay together). In each half the response is regressed on the number
/// of disabled filters of each layer and its square; a filter's importance is then its layer's slope there and the mean
/// residual of the masks that disable it less that of the others. ``AdditiveFit`` also takes out the effects of the
/// other filters one by one, so its rankings agree better than these: this is a low estimate of
/// ``AdditiveFit/splitHalf`` that needs neither its time nor its memory.
public struct SettlingEstimate: Sendable {
    /// Masks × filters that an estimate looks at; of a larger run it takes a part of the groups.
    private static let workMax = 500_000_000

    private let ensemble: Ensemble
    private let response: Response
    private var responses: [Double?]
    /// The evaluations counted.
    public private(set) var masks = 0

    /// No evaluations yet.
    public init(_ ensemble: Ensemble, response: Response = .logLoss) {
        self.ensemble = ensemble
        self.response = response
        responses = Array(repeating: nil, count: ensemble.count)
    }

    /// Counts an evaluation; one of a mask that was counted already replaces it. O(1).
    public mutating func record(_ index: Int, _ evaluation: Evaluation) {
        guard responses.indices.contains(index), let value = response.value(of: evaluation) else { return }
        if responses[index] == nil { masks += 1 }
        responses[index] = value
    }

    /// Spearman's correlation between the halves' rankings; nil while they say too little. The order in which
    /// evaluations came changes nothing. O(masks × filters), bounded.
    public func splitHalf() -> Double? {
        let groupSize = ensemble.groupSize
        let filters = ensemble.layers.reduce(0) { $0 + $1.count }
        let part = max(1, (masks * filters + Self.workMax - 1) / Self.workMax)
        var indices: [[Int]] = [[], []]
        for index in responses.indices where responses[index] != nil {
            // Mixed numbers, so that halves do not follow the rounds of the design.
            var generator = RandomGenerator(key: [ensemble.seed, 0x5e77, UInt64(index / groupSize)])
            let number = generator.below(2 * part)
            if number < 2 { indices[number].append(index) }
        }
        guard let first = importances(of: indices[0]), let second = importances(of: indices[1]) else { return nil }
        var known: (first: [Double], second: [Double]) = ([], [])
        for (a, b) in zip(first, second) {
            guard let a, let b else { continue }
            known.first.append(a)
            known.second.append(b)
        }
        return known.first.count * 2 > filters ? RankCorrelation.spearman(known.first, known.second) : nil
    }

    /// The importance of every filter that takes part by some of the masks; nil where it was never disabled, or always.
    private func importances(of indices: [Int]) -> [Double?]? {
        let layers = ensemble.layers
        let columns = 1 + 2 * layers.count
        guard indices.count > 2 * columns else { return nil }
        let masks = indices.map { ensemble.mask($0) }
        let values = indices.map { responses[$0] ?? 0 }
        let rows = masks.map { mask in
            let excess = layers.map { layer in
                layer.filters.reduce(-Double(layer.count) * layer.dropRate) { $0 + (mask[$1] ? 1 : 0) }
            }
            return [1] + excess + excess.map { $0 * $0 }
        }
        var sums = SymmetricMatrix(order: columns + 1)
        sums.addOuterProducts(of: zip(rows, values).flatMap { $0 + [$1] }, rows: rows.count, scale: 1)
        var system = sums.scaledLeadingBlock(by: Array(repeating: 1, count: columns))
        // A layer whose number never varied has no slope; a trace of ridge says so.
        for column in 1..<columns { system.addToDiagonal(column, 1e-6 * Double(indices.count)) }
        guard let factor = CholeskyFactor(system) else { return nil }
        let slopes = factor.solve((0..<columns).map { sums[columns, $0] })

        var counts = [Int](repeating: 0, count: ensemble.filterCount)
        var totals = [Double](repeating: 0, count: ensemble.filterCount)
        var total = 0.0
        for (position, mask) in masks.enumerated() {
            let residual = values[position] - zip(rows[position], slopes).reduce(0) { $0 + $1.0 * $1.1 }
            total += residual
            for filter in mask.disabled {
                counts[filter] += 1
                totals[filter] += residual
            }
        }
        return layers.enumerated().flatMap { number, layer in
            layer.filters.map { filter -> Double? in
                let disabled = counts[filter]
                guard disabled > 0, disabled < masks.count else { return nil }
                let others = (total - totals[filter]) / Double(masks.count - disabled)
                return slopes[1 + number] + totals[filter] / Double(disabled) - others
            }
        }
    }
}
