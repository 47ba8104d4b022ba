import Shared

/// The fit of models with too many columns to store their products: the same model, solved by conjugate gradients in
/// passes over masks that are never built (see ``MaskPasses``).
///
/// First the response is regressed on the columns of whole layers (numbers disabled, their squares and products). The
/// rest, `r`, is explained by the filters' differences from their layers, `x̃_f = x_f - d_l / p_l`, which no design
/// correlates with the layers' columns. Prior and residual variances follow from moments:
///
///     δ̂_f = Σ x̃_f r / (n q (1 - q)),  τ_l² = mean δ̂² - var(r) / (n q (1 - q)),  λ = var(r) - Σ_l p_l q (1 - q) τ_l²
///
/// and `(X̃'X̃ / λ + T⁻¹) δ = X̃'r / λ` is solved for all masks and, in the same passes, for two halves. Since designs
/// leave the columns nearly uncorrelated, the matrix is close to its diagonal, about `n q (1 - q) / λ + 1 / τ_l²`,
/// which preconditions the gradients: a dozen passes or so suffice. A coefficient's variance is close to `1 / (n' q (1
/// - q) / λ + 1 / τ²)`, with `n'` the masks minus the effective number of coefficients.
///
/// Four passes and one per step of the gradients; ``MaskPasses`` gives the cost of a pass. In the first ones, the
/// layers' columns add O(masks × columns²) each. Memory O(masks + filters).
struct LargeFit {
    /// The filters' differences from their layers' means, in the order of ``ModelTerms``' columns.
    private(set) var effects: [Double] = []
    /// The coefficients of the scaled columns of ``ModelTerms``, from all masks and from either half.
    private(set) var coefficients: [[Double]] = []
    /// The variance of each filter's effect.
    private(set) var variances: [Double] = []
    /// `λ` and each layer's `τ²`.
    private(set) var components = VarianceComponents(noise: [0], prior: [])
    /// The shares of variance explained, of the fit's masks and of either half by the other's fit.
    private(set) var rSquared = 0.0
    private(set) var heldOutRSquared = 0.0

    private static let stepsMax = 30
    /// The steps end when the residuals of the equations have fallen to these shares. The halves are only compared, and
    /// their equations, with fewer masks, take more steps.
    private static let tolerances = Lanes(1e-4, 1e-3, 1e-3, 0)
    /// Rows per tile of outer products.
    private static let tileRows = 256

    /// One lane per fit: all masks, and either half.
    private typealias Lanes = MaskPasses.Lanes
    private static let fits = 0..<3

    private let observations: Observations
    private let terms: ModelTerms
    private let passes: MaskPasses
    /// The mean response.
    private let mean: Double
    /// The half of each evaluated mask, 0 or 1.
    private let halves: [UInt8]

    /// Fits; nil if the response does not vary, or there are too few masks for the layers.
    init?(_ observations: Observations, terms: ModelTerms, passes: MaskPasses) {
        self.observations = observations
        self.terms = terms
        self.passes = passes
        mean = observations.mean
        // Masks that share segments or images stay together. The numbers are mixed, so halves do not follow the
        // design's rounds.
        let ensemble = observations.ensemble
        halves = observations.indices.map { index in
            var generator = RandomGenerator(key: [ensemble.seed, 0x5e77, UInt64(index / observations.groupSize)])
            return UInt8(generator.below(2))
        }
        guard let layers = regressLayers() else { return nil }
        let (square, moments) = moments(layers)
        let count = Double(observations.indices.count)
        let variance = square / count
        guard variance > 0 else { return nil }

        let spreads = terms.layers.map { $0.dropRate * (1 - $0.dropRate) }
        components = Self.components(
            moments.map { $0[0] }, passes.places, spreads: spreads, variance: variance, count: count)
        let noise = components.noise[0]
        let solution = solve(moments.map { $0 / noise }, masks: count, spreads: spreads)
        effects = solution.map { $0[0] }
        let used = zip(passes.places, zip(spreads, components.prior)).reduce(0.0) { sum, layer in
            let data = count * layer.1.0 / noise
            return sum + Double(layer.0.count) * data / (data + 1 / layer.1.1)
        }
        for (places, (spread, prior)) in zip(passes.places, zip(spreads, components.prior)) {
            let masks = max(count - used, 1)
            variances += places.map { _ in 1 / (masks * spread / noise + 1 / prior) }
        }
        coefficients = Self.fits.map { fit in
            var all = [Double](repeating: 0, count: terms.count)
            for (place, column) in denseColumns.enumerated() { all[column] = layers[place][fit] }
            for filter in solution.indices { all[1 + filter] = solution[filter][fit] }
            return all
        }
        (rSquared, heldOutRSquared) = measure(layers, solution)
    }

    /// The columns of whole layers, the intercept first.
    private var denseColumns: [Int] { [0] + Array(terms.layerColumns.lowerBound..<terms.count) }

    /// The lanes of the fits that include an evaluated mask, for products.
    private func membership(_ position: Int) -> Lanes {
        halves[position] == 0 ? Lanes(1, 1, 0, 0) : Lanes(1, 0, 1, 0)
    }

    // MARK: Layers

    /// One part's contribution to the layers' fit: for each half the products of the scaled columns and the response.
    private struct LayerProducts: Sendable {
        var halves: [SymmetricMatrix]

        init(width: Int) { halves = [SymmetricMatrix(order: width), SymmetricMatrix(order: width)] }

        static func add(_ sums: inout LayerProducts, _ other: LayerProducts) {
            for half in sums.halves.indices { sums.halves[half].add(other.halves[half], times: 1) }
        }
    }

    /// The layers' coefficients, one lane per fit.
    private func regressLayers() -> [Lanes]? {
        let columns = denseColumns
        let scales = columns.map { terms.scales[$0] }
        let width = columns.count + 1
        let products = passes.sum(LayerProducts(width: width), add: LayerProducts.add) { sums, stretch in
            var dense = [Double](repeating: 1, count: columns.count)
            var tiles: [[Double]] = [[], []]
            func flush(_ half: Int) {
                sums.halves[half].addOuterProducts(of: tiles[half], rows: tiles[half].count / width, scale: 1)
                tiles[half].removeAll(keepingCapacity: true)
            }
            stretch.mapValues { position, _, counts in
                terms.fillDense(&dense, counts: counts)
                let half = Int(halves[position])
                for (scale, value) in zip(scales, dense) { tiles[half].append(scale * value) }
                tiles[half].append(observations.responses[position] - mean)
                if tiles[half].count >= Self.tileRows * width { flush(half) }
                return .zero
            }
            for half in tiles.indices { flush(half) }
        }
        var both = products.halves[0]
        both.add(products.halves[1], times: 1)
        var result = [Lanes](repeating: .zero, count: columns.count)
        for (fit, sum) in ([both] + products.halves).enumerated() {
            var system = sum.scaledLeadingBlock(by: Array(repeating: 1, count: columns.count))
            // A trace of ridge, for layers whose number never varied.
            for column in 1..<columns.count { system.addToDiagonal(column, 1e-9 * (1 + sum[0, 0])) }
            guard let factor = CholeskyFactor(system) else { return nil }
            let solution = factor.solve(columns.indices.map { sum[columns.count, $0] })
            for (place, coefficient) in solution.enumerated() { result[place][fit] = coefficient }
        }
        return result
    }

    /// The layers' coefficients as factors of a row's unscaled values.
    private func unscaled(_ layers: [Lanes]) -> [Lanes] {
        zip(layers, denseColumns).map { $0 * terms.scales[$1] }
    }

    /// A sum of squares, and one sum per filter.
    private struct Moments: Sendable {
        var square = 0.0
        var sums: [Lanes]

        static func add(_ moments: inout Moments, _ other: Moments) {
            moments.square += other.square
            MaskPasses.add(&moments.sums, other.sums)
        }
    }

    /// The sum of squares of the response's residual after the layers, and `X̃'r`.
    private func moments(_ layers: [Lanes]) -> (square: Double, sums: [Lanes]) {
        let unscaled = unscaled(layers)
        let zeros = [Lanes](repeating: .zero, count: passes.filters)
        var moments = passes.sum(Moments(sums: zeros), add: Moments.add) { moments, stretch in
            var dense = [Double](repeating: 1, count: unscaled.count)
            stretch.mapValues { position, _, counts in
                terms.fillDense(&dense, counts: counts)
                let residual = observations.responses[position] - mean - Self.dot(unscaled, dense)
                moments.square += residual[0] * residual[0]
                return residual * membership(position)
            }
            stretch.addTransposed(to: &moments.sums)
        }
        centre(&moments.sums)
        return (moments.square, moments.sums)
    }

    private static func dot(_ coefficients: [Lanes], _ row: [Double]) -> Lanes {
        var sum = Lanes.zero
        for index in coefficients.indices { sum += coefficients[index] * row[index] }
        return sum
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

    // MARK: Filters

    /// Subtracts the layer's mean from all its values: `X̃ v` is `X` with the centred `v`, and `X̃'w` the centred
    /// `X'w`.
    private func centre(_ vector: inout [Lanes]) {
        for places in passes.places {
            let sum = vector[places].reduce(Lanes.zero) { $0 + $1 }
            let mean = sum / Double(max(places.count, 1))
            for place in places { vector[place] -= mean }
        }
    }

    /// `X̃' X̃ v`, each fit's over its own masks.
    private func normal(_ vector: [Lanes]) -> [Lanes] {
        var centred = vector
        centre(&centred)
        var product = passes.transposedProduct(with: centred) { position, product in
            product * membership(position)
        }
        centre(&product)
        return product
    }

    /// Conjugate gradients, preconditioned by the approximate diagonal.
    private func solve(_ right: [Lanes], masks: Double, spreads: [Double]) -> [Lanes] {
        let noise = components.noise[0]
        var ridge = [Double](repeating: 0, count: passes.filters)
        var diagonal = [Lanes](repeating: .zero, count: passes.filters)
        let first = Double(halves.count { $0 == 0 })
        let masksOfFits = Lanes(masks, first, masks - first, 0)
        for (places, (spread, prior)) in zip(passes.places, zip(spreads, components.prior)) {
            for place in places {
                ridge[place] = 1 / prior
                diagonal[place] = masksOfFits * (spread / noise) + 1 / prior
            }
        }
        var solution = [Lanes](repeating: .zero, count: passes.filters)
        var residual = right
        var direction = zip(residual, diagonal).map { $0 / $1 }
        var square = Self.dot(residual, direction)
        let target = square * Self.tolerances * Self.tolerances
        for _ in 0..<Self.stepsMax where any(square .> target) {
            let applied = normal(direction)
            let image = direction.indices.map { applied[$0] / noise + ridge[$0] * direction[$0] }
            let step = Self.quotient(square, Self.dot(direction, image))
            for place in image.indices {
                solution[place] += step * direction[place]
                residual[place] -= step * image[place]
            }
            let gradient = zip(residual, diagonal).map { $0 / $1 }
            let next = Self.dot(residual, gradient)
            let share = Self.quotient(next, square)
            for place in image.indices { direction[place] = gradient[place] + share * direction[place] }
            square = next
        }
        return solution
    }

    private static func dot(_ a: [Lanes], _ b: [Lanes]) -> Lanes {
        var sum = Lanes.zero
        for index in a.indices { sum += a[index] * b[index] }
        return sum
    }

    /// Quotients; zero for a zero divisor.
    private static func quotient(_ a: Lanes, _ b: Lanes) -> Lanes {
        (a / b).replacing(with: 0, where: .!(b .> 0))
    }

    /// The shares of variance explained, of the fit's masks and of either half by the other's fit.
    private func measure(_ layers: [Lanes], _ effects: [Lanes]) -> (all: Double, heldOut: Double) {
        let unscaled = unscaled(layers)
        // Lane 0 for the squares of the response, then the errors of the fit and of the other half's.
        let sums = passes.sum(Lanes.zero, add: { $0 += $1 }) { sums, stretch in
            var dense = [Double](repeating: 1, count: unscaled.count)
            stretch.multiply(with: effects)
            stretch.mapValues { position, product, counts in
                terms.fillDense(&dense, counts: counts)
                let value = observations.responses[position] - mean
                let errors = value - (product + Self.dot(unscaled, dense))
                let all = errors[0]
                let heldOut = errors[2 - Int(halves[position])]
                sums += Lanes(value * value, all * all, heldOut * heldOut, 0)
                return .zero
            }
        }
        return (1 - sums[1] / sums[0], 1 - sums[2] / sums[0])
    }
}
