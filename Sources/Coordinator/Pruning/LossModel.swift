import Shared

/// How the scores of single units add up to the response when many of a dimension are removed, the least important
/// first.
///
/// With `s_1 ≤ s_2 ≤ …` the scores of the dimension's `n` units, `r` removed units contribute
///
/// - `additive`: `Σ_{i≤r} s_i`
/// - `scarce`: `Σ_{i≤r} s_i (1 - ρ) n / (n - i + 1)`, since the rest of a layer matters more the less of it is left;
///   `ρ` is the share that was disabled when the scores were measured, so the sums agree in slope there
/// - `curved`: `Σ_{i≤r} s_i + κ ((r - e)² - e²)` with the layer's curvature `κ` that the ensemble's fit found around
///   `e` disabled filters
///
/// On ResNet-20 (`Benchmarks/pruning/results`) they choose about equally well, and `scarce` predicts the loss best when
/// half of the filters or more are removed.
public enum LossModel: String, Sendable, CaseIterable, ArgumentValue {
    case additive
    case scarce
    case curved
}

/// What turns scores into a loss.
public struct LossPrediction: Sendable {
    /// A layer's departure from additivity, as the fit found it.
    public struct Bend: Sendable {
        /// `κ`, for one filter squared.
        var curvature: Double
        /// `e`: the filters that were disabled on average.
        var expected: Int
    }

    /// The quantity that the scores are rises of.
    public let response: Response
    /// The response with as many filters of every layer disabled as ``bends`` expects, at random.
    let anchor: Double
    /// By the filters of a layer.
    let bends: [Range<Int>: Bend]
    /// Networks without some filters whose loss was measured.
    var measured: [(removed: Mask, loss: Double)] = []

    /// The bend of the layer that holds a filter.
    func bend(of filter: Int) -> Bend {
        bends.first { $0.key.contains(filter) }?.value ?? Bend(curvature: 0, expected: 0)
    }
}

/// The units of one dimension in the order of removal, and its effect.
struct RemovalOrder: Sendable {
    /// Least important first.
    let units: [[Int]]
    /// The contribution of 0, 1, … removed units to the response.
    let curve: [Double]
    /// The contribution of as many random units as were disabled on average.
    let expectedContribution: Double
    private let scores: [Double]
    private let weights: [Double]
    private let bent: [Double]

    /// Orders a dimension. O(units log units).
    init(_ dimension: RemovalSpace.Dimension, _ scores: FilterScores, _ model: LossModel) {
        let scored = dimension.units.map { unit in (unit: unit, score: unit.reduce(0) { $0 + scores.values[$1] }) }
            .sorted { ($0.score, $0.unit[0]) < ($1.score, $1.unit[0]) }
        units = scored.map(\.unit)
        let count = Double(units.count)
        // Units that must stay are left out too.
        let fixed = dimension.layers.first.map { Double($0.fixed) / Double(max($0.filtersPerUnit, 1)) } ?? 0
        let bends =
            dimension.units.first.map { unit in
                unit.compactMap { filter in scores.prediction?.bend(of: filter) }
            } ?? []
        // All layers of a stream are disabled equally, so the first one's share is the dimension's.
        let expected = min(bends.first?.expected ?? 0, units.count - 1)

        /// The weight of the `i`-th removed unit, `i` from 0.
        func weight(_ i: Int) -> Double {
            model == .scarce ? (count + fixed - Double(expected)) / (count + fixed - Double(i)) : 1
        }
        func bend(_ removed: Int) -> Double {
            guard model == .curved else { return 0 }
            return bends.reduce(0) { sum, bend in
                let excess = Double(removed - bend.expected)
                return sum + bend.curvature * (excess * excess - Double(bend.expected * bend.expected))
            }
        }
        self.scores = scored.map(\.score)
        weights = scored.indices.map(weight)
        bent = (0...scored.count).map(bend)
        var sum = 0.0
        var curve = [0.0]
        for index in scored.indices {
            sum += Self.contribution(scored[index].score, weight(index))
            curve.append(sum + bend(index + 1))
        }
        self.curve = curve
        let mean = scored.reduce(0) { $0 + $1.score } / max(count, 1)
        expectedContribution = (0..<expected).reduce(0) { $0 + mean * weight($1) } + bend(expected)
    }

    /// The contribution of a unit with the weight of its turn. A filter whose removal seems to help will help less, not
    /// more, when little is left.
    private static func contribution(_ score: Double, _ weight: Double) -> Double {
        score < 0 ? score / max(weight, 1) : score * weight
    }

    /// The contribution of a mask's units to the response, whichever they are.
    func contribution(of mask: Mask) -> Double {
        var sum = 0.0
        var count = 0
        for (index, unit) in units.enumerated() where unit.allSatisfy({ mask[$0] }) {
            sum += Self.contribution(scores[index], weights[count])
            count += 1
        }
        return sum + bent[count]
    }
}
