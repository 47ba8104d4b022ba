import Shared

/// The fit of models with too many columns for their products to be kept: the same model, solved by conjugate gradients
/// from masks that are drawn anew in every pass.
///
/// First the response is regressed on what concerns whole layers (numbers disabled, their squares and products). What
/// is left, `r`, is explained by the filters' differences from their layers, `x̃_f = x_f - d_l / p_l`, which no design
/// correlates with the layers' columns. Prior and residual variances follow from moments:
///
///     δ̂_f = Σ x̃_f r / (n q (1 - q)),  τ_l² = mean δ̂² - var(r) / (n q (1 - q)),  λ = var(r) - Σ_l p_l q (1 - q) τ_l²
///
/// and `(X̃'X̃ / λ + T⁻¹) δ = X̃'r / λ` is solved for all masks and, in the same passes, for two halves. Since designs
/// leave the columns nearly uncorrelated, the matrix is nearly diagonal: a few passes do, and a coefficient's variance
/// is near `1 / (n' q (1 - q) / λ + 1 / τ²)`, with `n'` the masks less the effective number of coefficients.
///
/// Time O(passes × masks × filters); memory O(filters).
struct LargeFit {
    /// The filters' differences from their layers' means, in the order of ``ModelTerms``' columns.
    private(set) var effects: [Double] = []
    /// The coefficients of the scaled columns of ``ModelTerms``, by all masks and by either half.
    private(set) var coefficients: [[Double]] = []
    /// The variance of each filter's effect.
    private(set) var variances: [Double] = []
    /// `λ` and each layer's `τ²`.
    private(set) var components = VarianceComponents(noise: [0], prior: [])
    /// The shares of variance explained, of the masks of the fit and of either half by the other's fit.
    private(set) var rSquared = 0.0
    private(set) var heldOutRSquared = 0.0

    private static let passesMax = 30
    /// The passes end when the residual of the equations has fallen to this share.
    private static let tolerance = 1e-4

    private let observations: Observations
    private let terms: ModelTerms
    private let filters: Int
    /// The layers' filters as places in ``effects``.
    private let ranges: [Range<Int>]

    /// Fits; nil where the response does not vary, or the masks are too few for the layers.
    init?(_ observations: Observations, terms: ModelTerms) {
        self.observations = observations
        self.terms = terms
        filters = terms.layerColumns.lowerBound - 1
        ranges = terms.layers.indices.map { index in
            let columns = terms.families[index].columns
            return columns.lowerBound - 1..<columns.upperBound - 1
        }
        // Masks that share segments stay together. Mixed numbers, so that halves do not follow the design's rounds.
        let ensemble = observations.ensemble
        let halves = observations.indices.map { index in
            var generator = RandomGenerator(key: [ensemble.seed, 0x5e77, UInt64(index / ensemble.groupSize)])
            return generator.below(2)
        }
        guard let layers = regressLayers(halves) else { return nil }
        let residuals = self.residuals(layers)
        let count = Double(observations.indices.count)
        let variance = residuals[0].reduce(0) { $0 + $1 * $1 } / count
        guard variance > 0 else { return nil }

        let moments = product(of: residuals, halves)
        let spreads = terms.layers.map { $0.dropRate * (1 - $0.dropRate) }
        components = Self.components(moments[0], ranges, spreads: spreads, variance: variance, count: count)
        let noise = components.noise[0]
        let solutions = solve(moments.map { $0.map { $0 / noise } }, halves)
        effects = solutions[0]
        let used = zip(ranges, zip(spreads, components.prior)).reduce(0.0) { sum, layer in
            let data = count * layer.1.0 / noise
            return sum + Double(layer.0.count) * data / (data + 1 / layer.1.1)
        }
        for (range, (spread, prior)) in zip(ranges, zip(spreads, components.prior)) {
            let masks = max(count - used, 1)
            variances += range.map { _ in 1 / (masks * spread / noise + 1 / prior) }
        }
        coefficients = zip(layers, solutions).map { layers, effects in
            var all = [Double](repeating: 0, count: terms.count)
            for (place, column) in Self.denseColumns(terms).enumerated() { all[column] = layers[place] }
            for filter in 0..<filters { all[1 + filter] = effects[filter] }
            return all
        }
        measure(halves)
    }

    /// The columns that concern whole layers, the intercept first.
    private static func denseColumns(_ terms: ModelTerms) -> [Int] {
        [0] + Array(terms.layerColumns.lowerBound..<terms.count)
    }

    /// The layers' coefficients by all masks and by either half.
    private func regressLayers(_ halves: [Int]) -> [[Double]]? {
        let columns = Self.denseColumns(terms)
        let width = columns.count + 1
        var sums = [SymmetricMatrix(order: width), SymmetricMatrix(order: width)]
        var tiles: [[Double]] = [[], []]
        let mean = observations.mean
        func flush(_ half: Int) {
            sums[half].addOuterProducts(of: tiles[half], rows: tiles[half].count / width, scale: 1)
            tiles[half].removeAll(keepingCapacity: true)
        }
        forEachRow { position, _, dense in
            let half = halves[position]
            tiles[half] += zip(columns, dense).map { terms.scales[$0] * $1 }
            tiles[half].append(observations.responses[position] - mean)
            if tiles[half].count >= 256 * width { flush(half) }
        }
        for half in 0..<2 { flush(half) }
        var both = sums[0]
        both.add(sums[1], times: 1)
        var solutions: [[Double]] = []
        for sum in [both] + sums {
            var system = sum.scaledLeadingBlock(by: Array(repeating: 1, count: columns.count))
            // A trace of ridge, for layers whose number never varied.
            for column in 1..<columns.count { system.addToDiagonal(column, 1e-9 * (1 + sum[0, 0])) }
            guard let factor = CholeskyFactor(system) else { return nil }
            solutions.append(factor.solve(columns.indices.map { sum[columns.count, $0] }))
        }
        return solutions
    }

    /// What each of the three regressions leaves.
    private func residuals(_ layers: [[Double]]) -> [[Double]] {
        let columns = Self.denseColumns(terms)
        let mean = observations.mean
        var result = [[Double]](repeating: [Double](repeating: 0, count: observations.indices.count), count: 3)
        forEachRow { position, _, dense in
            for fit in 0..<3 {
                var predicted = 0.0
                for (place, column) in columns.enumerated() {
                    predicted += layers[fit][place] * terms.scales[column] * dense[place]
                }
                result[fit][position] = observations.responses[position] - mean - predicted
            }
        }
        return result
    }

    private static func components(
        _ moments: [Double], _ ranges: [Range<Int>], spreads: [Double], variance: Double, count: Double
    ) -> VarianceComponents {
        var explained = 0.0
        let prior = zip(ranges, spreads).map { range, spread in
            let data = count * spread
            let square = range.reduce(0.0) { $0 + moments[$1] * moments[$1] } / (data * data) / Double(range.count)
            let excess = max(square - variance / data, 1e-3 * variance / data)
            explained += Double(range.count) * spread * excess
            return excess
        }
        return VarianceComponents(noise: [max(variance - explained, 0.05 * variance)], prior: prior)
    }

    /// `X̃' v` for values of the masks: with all masks, with half 0, with half 1.
    private func product(of values: [[Double]], _ halves: [Int]) -> [[Double]] {
        accumulate(halves) { fit, position, _ in values[fit][position] }
    }

    /// `X̃' X̃ v` for coefficients, all masks and either half.
    private func normal(_ vectors: [[Double]], _ halves: [Int]) -> [[Double]] {
        let means = vectors.map { vector in
            ranges.map { range in range.reduce(0.0) { $0 + vector[$1] } / Double(max(range.count, 1)) }
        }
        return accumulate(halves) { fit, _, row in
            var sum = 0.0
            for filter in row.filters { sum += vectors[fit][filter] }
            for (layer, count) in row.counts.enumerated() { sum -= Double(count) * means[fit][layer] }
            return sum
        }
    }

    /// The filters that a mask disables, as places in ``effects``, and their number in each layer.
    private struct Row {
        var filters: [Int] = []
        var counts: [Int] = []
    }

    /// `Σ value × x̃` over the masks, in one pass for all three fits.
    private func accumulate(_ halves: [Int], _ value: (Int, Int, Row) -> Double) -> [[Double]] {
        var sums = [[Double]](repeating: [Double](repeating: 0, count: filters), count: 3)
        var shares = [[Double]](repeating: [Double](repeating: 0, count: ranges.count), count: 3)
        forEachRow { position, row, _ in
            for fit in [0, 1 + halves[position]] {
                let factor = value(fit, position, row)
                for filter in row.filters { sums[fit][filter] += factor }
                for (layer, count) in row.counts.enumerated() { shares[fit][layer] += factor * Double(count) }
            }
        }
        for fit in 0..<3 {
            for (layer, range) in ranges.enumerated() {
                let share = shares[fit][layer] / Double(max(range.count, 1))
                for filter in range { sums[fit][filter] -= share }
            }
        }
        return sums
    }

    private func solve(_ right: [[Double]], _ halves: [Int]) -> [[Double]] {
        let noise = components.noise[0]
        var ridge = [Double](repeating: 0, count: filters)
        for (range, prior) in zip(ranges, components.prior) { for filter in range { ridge[filter] = 1 / prior } }
        var solution = [[Double]](repeating: [Double](repeating: 0, count: filters), count: 3)
        var residual = right
        var direction = right
        func dot(_ a: [Double], _ b: [Double]) -> Double {
            var sum = 0.0
            for index in a.indices { sum += a[index] * b[index] }
            return sum
        }
        var squares = residual.map { dot($0, $0) }
        let first = squares
        for _ in 0..<Self.passesMax {
            if zip(squares, first).allSatisfy({ $0 <= Self.tolerance * Self.tolerance * $1 }) { break }
            let applied = normal(direction, halves)
            for fit in 0..<3 where squares[fit] > 0 {
                let image = applied[fit].indices.map { applied[fit][$0] / noise + ridge[$0] * direction[fit][$0] }
                let step = squares[fit] / dot(direction[fit], image)
                for index in image.indices {
                    solution[fit][index] += step * direction[fit][index]
                    residual[fit][index] -= step * image[index]
                }
                let next = dot(residual[fit], residual[fit])
                for index in image.indices {
                    direction[fit][index] = residual[fit][index] + next / squares[fit] * direction[fit][index]
                }
                squares[fit] = next
            }
        }
        return solution
    }

    /// The shares of variance explained, in one more pass.
    private mutating func measure(_ halves: [Int]) {
        let columns = Self.denseColumns(terms)
        let mean = observations.mean
        var errors = [0.0, 0.0]
        var squares = 0.0
        forEachRow { position, row, dense in
            let value = observations.responses[position] - mean
            squares += value * value
            for (kind, fit) in [0, 2 - halves[position]].enumerated() {
                var predicted = 0.0
                for (place, column) in columns.enumerated() {
                    predicted += coefficients[fit][column] * terms.scales[column] * dense[place]
                }
                for filter in row.filters { predicted += coefficients[fit][1 + filter] }
                errors[kind] += (value - predicted) * (value - predicted)
            }
        }
        rSquared = 1 - errors[0] / squares
        heldOutRSquared = 1 - errors[1] / squares
    }

    /// Calls `body` with the position, the sparse row and the dense columns' unscaled values of every evaluated mask.
    private func forEachRow(_ body: (Int, Row, [Double]) -> Void) {
        var row = Row()
        var dense = [Double](repeating: 1, count: 1 + terms.count - terms.layerColumns.lowerBound)
        observations.forEach { position, mask, _ in
            row.filters.removeAll(keepingCapacity: true)
            row.counts = Array(repeating: 0, count: ranges.count)
            for filter in mask.disabled where terms.columnOfFilter[filter] > 0 {
                row.filters.append(terms.columnOfFilter[filter] - 1)
                row.counts[terms.layerOfFilter[filter]] += 1
            }
            terms.fillDense(&dense, counts: row.counts)
            body(position, row, dense)
        }
    }
}
