import Foundation
import Shared

/// Improves on the scores' choice of units to remove: rounds of masks around the network at the budget.
///
/// An importance is a filter's effect while a few others are disabled. Near the budget most of a layer may be gone, and
/// then other filters matter: of two duplicates, one can go. So each round draws masks that keep to the budget, with
/// the units of each dimension ordered by scores that vary within their uncertainty (Thompson, "On the likelihood that
/// one unknown probability exceeds another", 1933), and their responses update the scores:
///
///     y_m = hardness of the round's images + Σ_u (s_u + d_u) x_mu + residual
///     d_u = own difference of u + Σ_k w_k φ_ku,    own ~ N(0, t σ_u²),  w_k ~ N(0, t (2 σ)²)
///
/// with `x_mu = 1` where mask `m` disables unit `u`, `s` and `σ` the initial scores and their standard errors (`σ`
/// without index is their root mean square), and `φ_k` the cheap criteria, standardised within dimensions: near the
/// budget they may count for more than where the scores were measured. The factor `t` and the residuals' variance `λ`
/// maximise the evidence. The counts of removed units stay, so every mask costs the same as the first choice.
struct ChoiceRefinement {
    /// Masks per round: enough for their mean to estimate the difficulty of their images.
    static let masksPerRound = 64

    /// A unit that may go or stay.
    private struct Unit {
        let filters: [Int]
        let score: Double
        let deviation: Double
    }

    /// How far a criterion may weigh, in multiples of the scores' standard errors.
    private static let criteriaWeight = 2.0

    private let units: [Unit]
    /// For each criterion, what a weight of one standard deviation adds to each unit.
    private let criteria: [[Double]]
    /// For each dimension its units, by their positions in ``units``.
    private let members: [Range<Int>]
    /// How many units of each dimension to remove.
    private let removed: [Int]
    private let filterCount: Int
    private let seed: UInt64

    /// The drawn masks, by rounds: for each mask which units it disables.
    private var drawn: [[[Bool]]] = []
    private var responses: [[Double]] = []

    /// The current knowledge about the units: mean and standard deviation of each one's score.
    private var means: [Double]
    private var deviations: [Double]

    /// Starts from a choice: `removed` units of each dimension. `scores` and `deviations` are of filters, by their
    /// numbers, and so are the scores of each of the `criteria`.
    init(
        _ space: RemovalSpace, removed: [Int], scores: [Double], deviations: [Double], criteria: [[Double]] = [],
        seed: UInt64
    ) {
        precondition(scores.count == deviations.count, "one deviation for each score")
        var units: [Unit] = []
        var members: [Range<Int>] = []
        for dimension in space.dimensions {
            let start = units.count
            units += dimension.units.map { filters in
                Unit(
                    filters: filters, score: filters.reduce(0) { $0 + scores[$1] },
                    deviation: filters.reduce(0) { $0 + deviations[$1] * deviations[$1] }.squareRoot())
            }
            members.append(start..<units.count)
        }
        self.units = units
        self.members = members
        let square = units.reduce(0) { $0 + $1.deviation * $1.deviation } / Double(max(units.count, 1))
        self.criteria = criteria.map { values in
            members.flatMap { range in
                FilterFeatures.standardised(units[range].map { $0.filters.reduce(0) { $0 + values[$1] } })
            }.map { $0 * Self.criteriaWeight * square.squareRoot() }
        }
        self.removed = removed
        self.seed = seed
        filterCount = scores.count
        means = units.map(\.score)
        self.deviations = units.map(\.deviation)
    }

    /// Without the units that currently seem the least important.
    var choice: Mask { mask(of: lowest(means)) }

    /// As many units of each dimension in the order of other scores of filters.
    func choice(by scores: [Double]) -> Mask {
        mask(of: lowest(units.map { $0.filters.reduce(0) { $0 + scores[$1] } }))
    }

    /// The masks of the next round, at most ``masksPerRound`` of them. The same seed and responses give the same masks.
    mutating func nextRound(masks: Int = masksPerRound) -> [Mask] {
        var generator = RandomGenerator(key: [seed, 0x7265_6669_6e65, UInt64(drawn.count)])
        let round = (0..<masks).map { _ in
            lowest(units.indices.map { means[$0] + deviations[$0] * generator.nearlyNormal() })
        }
        drawn.append(round)
        return round.map { mask(of: $0) }
    }

    /// Takes the responses to the masks of the last round, in their order.
    mutating func add(_ responses: [Double]) {
        precondition(responses.count == drawn.last?.count, "one response for each mask of the round")
        self.responses.append(responses)
        learn()
    }

    /// In each dimension the units of the lowest scores, as many as go.
    private func lowest(_ scores: [Double]) -> [Bool] {
        var isRemoved = [Bool](repeating: false, count: units.count)
        for (range, count) in zip(members, removed) {
            let order = range.sorted { (scores[$0], $0) < (scores[$1], $1) }
            for unit in order.prefix(count) { isRemoved[unit] = true }
        }
        return isRemoved
    }

    private func mask(of isRemoved: [Bool]) -> Mask {
        Mask(
            count: filterCount, disabled: units.indices.filter { isRemoved[$0] }.flatMap { units[$0].filters }.sorted())
    }

    // MARK: Learning

    /// The posterior of the scores, given all rounds. O(masks³ + units × masks²).
    private mutating func learn() {
        // Only differences within a round, whose masks see the same images, inform about units.
        var disabled: [[Double]] = []
        var values: [Double] = []
        for (round, responses) in zip(drawn, responses) {
            let share = 1 / Double(round.count)
            var mean = [Double](repeating: 0, count: units.count)
            for mask in round { for unit in units.indices where mask[unit] { mean[unit] += share } }
            let rest = zip(round, responses).map { mask, response in
                units.indices.reduce(response) { mask[$1] ? $0 - units[$1].score : $0 }
            }
            let level = rest.reduce(0, +) * share
            for (mask, value) in zip(round, rest) {
                disabled.append(units.indices.map { (mask[$0] ? 1 : 0) - mean[$0] })
                values.append(value - level)
            }
        }
        let count = disabled.count
        let freedom = Double(count - drawn.count)
        guard freedom > 0 else { return }
        // With s + A e for the scores, e ~ N(0, t): Z = X A, by columns, one for each unit and each criterion.
        let ofUnits = units.indices.map { unit in disabled.map { $0[unit] } }
        let ofCriteria = criteria.map { weights in
            disabled.map { row in zip(row, weights).reduce(0) { $0 + $1.0 * $1.1 } }
        }
        let columns = zip(ofUnits, units).map { column, unit in column.map { $0 * unit.deviation } } + ofCriteria
        var kernel = SymmetricMatrix(order: count)
        kernel.addOuterProducts(of: Array(columns.joined()), rows: columns.count, scale: 1)
        guard
            let best = Self.ratios.compactMap({ Evidence(kernel, values, ratio: $0, freedom: freedom) })
                .max(by: { $0.logEvidence < $1.logEvidence }), best.residual > 0
        else { return }
        let inverse = best.factor.inverse()
        let variance = best.ratio * best.residual
        for unit in units.indices {
            // The covariances of the unit's score with the responses, and its own variance, in multiples of t.
            var shared = columns[unit].map { $0 * units[unit].deviation }
            var own = units[unit].deviation * units[unit].deviation
            for (weights, column) in zip(criteria, ofCriteria) {
                for index in shared.indices { shared[index] += weights[unit] * column[index] }
                own += weights[unit] * weights[unit]
            }
            let shift = zip(shared, best.weights).reduce(0) { $0 + $1.0 * $1.1 }
            means[unit] = units[unit].score + best.ratio * shift
            let known = best.ratio * inverse.quadraticForm(shared)
            deviations[unit] = (variance * max(own - known, 0)).squareRoot()
        }
    }

    /// The ratios `t / λ` to try, four per factor of ten.
    private static let ratios = (-16...28).map { pow(10, Double($0) / 4) }

    /// The likelihood of the responses for a ratio `ρ = t / λ`: they are `N(0, λ (ρ K + I))`, and the best `λ` is `y'
    /// (ρ K + I)⁻¹ y / n`, with `n` the masks minus one per round.
    private struct Evidence {
        let ratio: Double
        let factor: CholeskyFactor
        /// `(ρ K + I)⁻¹ y`.
        let weights: [Double]
        /// `λ`.
        let residual: Double
        let logEvidence: Double

        init?(_ kernel: SymmetricMatrix, _ values: [Double], ratio: Double, freedom: Double) {
            var matrix = SymmetricMatrix(order: kernel.order)
            matrix.add(kernel, times: ratio)
            for index in values.indices { matrix.addToDiagonal(index, 1) }
            guard let factor = CholeskyFactor(matrix) else { return nil }
            self.ratio = ratio
            self.factor = factor
            weights = factor.solve(values)
            residual = zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 } / freedom
            logEvidence = residual > 0 ? -(freedom * log(residual) + factor.logDeterminant) / 2 : -.infinity
        }
    }
}

extension RandomGenerator {
    /// A number with mean 0 and variance 1, nearly normal: the sum of twelve uniform ones minus 6, which is the same on
    /// every machine.
    mutating func nearlyNormal() -> Double {
        (0..<12).reduce(-6) { sum, _ in sum + Double(next() >> 11) * 0x1p-53 }
    }
}
