import Shared

/// The columns of the additive model: the values in a mask's row, and which columns share a prior.
///
/// With `x_f = 1` where filter `f` is disabled and `d_l` the number of disabled filters of layer `l` minus the expected
/// number, rounded, the model of the response is
///
///     y = intercept + Σ_f δ_f x_f + Σ_l μ_l d_l + Σ_l κ_l d_l² + Σ_{l<m} ι_lm d_l d_m
///
/// so a filter's importance is `μ_l + δ_f`: its layer's mean effect plus its own difference from it. The last two sums
/// capture what does not add up: effects within a layer grow with the number disabled, and layers interact.
///
/// If cheap criteria `φ_k` (standardised within a layer) say something about the filters beforehand, they are the prior
/// means of the differences:
///
///     δ_f = Σ_k (w_k + w_kl) φ_kf + own difference
///
/// with one weight for the whole network and one per layer. So a criterion's knowledge about a filter needs no mask of
/// the filter's own, and a criterion that knows nothing gets zero weight. The weights' columns are combinations of the
/// filters'.
struct ModelTerms: Sendable {
    /// Columns whose coefficients share one prior variance.
    struct Family: Sendable, Equatable {
        enum Kind: Sendable, Equatable {
            /// The filters of a layer, by its position in the ensemble.
            case filters(layer: Int)
            case layers
            case curvatures
            case interactions
            /// A criterion's weights in the layers, by its position among the features.
            case layerWeights(feature: Int)
            /// The criteria's weights in the whole network.
            case weights
        }
        let kind: Kind
        let columns: Range<Int>

        var isOfFilters: Bool {
            if case .filters = kind { return true }
            return false
        }
    }

    /// Beyond this number of layers there are no interactions, whose columns grow with its square.
    private static let interactingLayersMax = 32

    /// The ensemble's layers.
    let layers: [Ensemble.Layer]
    /// Column 0 is the intercept; the families follow in order.
    let families: [Family]
    /// The number of disabled filters of each layer that `d_l` counts from.
    let expected: [Int]
    /// Each column's factor, which gives a family's coefficients equal size: a layer's count is taken as a share of the
    /// layer.
    let scales: [Double]

    /// The column of every filter of the network; 0 if it is not ranked.
    let columnOfFilter: [Int]
    /// The position in ``layers`` of every filter of the network; 0 if it is not ranked.
    let layerOfFilter: [Int]

    /// The criteria that give prior means.
    let features: FilterFeatures
    /// The columns of the criteria's weights, as combinations of the filters' columns: for each criterion its weights
    /// in the layers, then its weight in the whole network.
    let combinations: [SymmetricMatrix.Combination]

    /// Columns of a mask's row, the intercept among them.
    var count: Int { scales.count }
    /// Coefficients: those of a row's columns, then the criteria's weights.
    var coefficientCount: Int { count + combinations.count }

    /// The layers' columns.
    let layerColumns: Range<Int>
    /// The curvatures' columns.
    let curvatureColumns: Range<Int>
    /// The interactions' columns.
    let interactionColumns: Range<Int>

    /// The columns of an ensemble's model.
    init(_ ensemble: Ensemble, features: FilterFeatures = .none) {
        layers = ensemble.layers
        expected = layers.map { Int((Double($0.count) * $0.dropRate).rounded()) }
        var families: [Family] = []
        var scales = [1.0]
        var columnOfFilter = [Int](repeating: 0, count: ensemble.filterCount)
        var layerOfFilter = columnOfFilter
        for (index, layer) in layers.enumerated() {
            families.append(
                Family(kind: .filters(layer: index), columns: scales.count..<scales.count + layer.count))
            for filter in layer.filters {
                columnOfFilter[filter] = scales.count
                layerOfFilter[filter] = index
                scales.append(1)
            }
        }
        let shares = layers.map { 1 / Double($0.count) }
        layerColumns = scales.count..<scales.count + layers.count
        scales += shares
        curvatureColumns = scales.count..<scales.count + layers.count
        scales += shares.map { $0 * $0 }
        let first = scales.count
        if layers.count <= Self.interactingLayersMax {
            for a in layers.indices {
                for b in a + 1..<max(layers.count, a + 1) { scales.append(shares[a] * shares[b]) }
            }
        }
        interactionColumns = first..<scales.count
        families.append(Family(kind: .layers, columns: layerColumns))
        families.append(Family(kind: .curvatures, columns: curvatureColumns))
        if !interactionColumns.isEmpty { families.append(Family(kind: .interactions, columns: interactionColumns)) }
        var combinations: [SymmetricMatrix.Combination] = []
        for (index, feature) in features.list.enumerated() {
            let start = scales.count + combinations.count
            combinations += layers.map { layer in
                layer.filters.map { (row: columnOfFilter[$0], factor: feature.values[$0]) }
            }
            families.append(
                Family(kind: .layerWeights(feature: index), columns: start..<start + layers.count))
        }
        if !features.list.isEmpty {
            let start = scales.count + combinations.count
            for index in features.list.indices {
                combinations.append(Array(combinations[index * layers.count..<(index + 1) * layers.count].joined()))
            }
            families.append(Family(kind: .weights, columns: start..<start + features.list.count))
        }
        self.features = features
        self.combinations = combinations
        self.families = families
        self.scales = scales
        self.columnOfFilter = columnOfFilter
        self.layerOfFilter = layerOfFilter
    }

    /// The right-hand side of the equations in sums whose last column is the response's.
    func rightSide(of sums: SymmetricMatrix) -> [Double] {
        scales.indices.map { sums[count, $0] * scales[$0] }
            + combinations.map { $0.reduce(0) { $0 + $1.factor * sums[count, $1.row] } }
    }

    /// The coefficients of a row's scaled columns alone: each filter's own plus the part from the criteria's weights.
    func folded(_ coefficients: [Double]) -> [Double] {
        var folded = Array(coefficients.prefix(count))
        for (combination, weight) in zip(combinations, coefficients.dropFirst(count)) {
            for (row, factor) in combination { folded[row] += factor * weight }
        }
        return folded
    }

    /// A filter's importance as a sum of coefficients: the columns, and their factors.
    func parts(ofImportance filter: Int) -> SymmetricMatrix.Combination {
        let layer = layerColumn(of: filter)
        var parts: SymmetricMatrix.Combination = [
            (row: columnOfFilter[filter], factor: 1), (row: layer.column, factor: layer.share),
        ]
        let common = count + features.list.count * layers.count
        for (index, feature) in features.list.enumerated() {
            let own = count + index * layers.count + layerOfFilter[filter]
            parts.append((row: own, factor: feature.values[filter]))
            parts.append((row: common + index, factor: feature.values[filter]))
        }
        return parts
    }

    /// Writes a mask's row, unscaled whole numbers, into `row[0..<count]`. O(columns).
    func fill(_ row: UnsafeMutablePointer<Double>, with mask: Mask) {
        row.update(repeating: 0, count: count)
        row[0] = 1
        let layerCounts = row + layerColumns.lowerBound
        for index in layers.indices { layerCounts[index] = Double(-expected[index]) }
        for filter in mask.disabled {
            let column = columnOfFilter[filter]
            guard column > 0 else { continue }
            row[column] = 1
            layerCounts[layerOfFilter[filter]] += 1
        }
        let curvatures = row + curvatureColumns.lowerBound
        for index in layers.indices { curvatures[index] = layerCounts[index] * layerCounts[index] }
        guard !interactionColumns.isEmpty else { return }
        var column = interactionColumns.lowerBound
        for a in layers.indices {
            for b in a + 1..<max(layers.count, a + 1) {
                row[column] = layerCounts[a] * layerCounts[b]
                column += 1
            }
        }
    }

    /// Writes the unscaled values of the columns of whole layers: the intercept, then ``layerColumns`` and all that
    /// follow.
    func fillDense(_ values: inout [Double], counts: UnsafeBufferPointer<Int>) {
        values[0] = 1
        for index in layers.indices {
            let excess = Double(counts[index] - expected[index])
            values[1 + index] = excess
            values[1 + layers.count + index] = excess * excess
        }
        guard !interactionColumns.isEmpty else { return }
        var place = 1 + 2 * layers.count
        for a in layers.indices {
            for b in a + 1..<max(layers.count, a + 1) {
                values[place] = values[1 + a] * values[1 + b]
                place += 1
            }
        }
    }

    /// The response that coefficients (of scaled columns) predict for a mask.
    func predict(_ mask: Mask, with coefficients: [Double]) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { row in
            guard let start = row.baseAddress else { return 0 }
            start.initialize(repeating: 0, count: count)
            fill(start, with: mask)
            var sum = 0.0
            for index in 0..<count { sum += row[index] * scales[index] * coefficients[index] }
            return sum
        }
    }
}
