import Shared

/// The sums of products of the model's columns and the response, over masks.
///
/// Masks that share their first layers also share the unexplained part of those layers, and masks that share images
/// share their difficulty, so their residuals are correlated. For nested groups (levels: single masks, masks that share
/// one segment, two, …, masks that share their images) the covariance of the residuals is `V = Σ_k λ_k (P_k -
/// P_{k+1})`, where `P_k` replaces a value by its mean over the group of level `k` and `P_0` is the identity. Then
///
///     X' V⁻¹ X = Σ_k (X' P_k X - X' P_{k+1} X) / λ_k
///
/// and `X' P_k X` is a sum over groups of outer products of the groups' mean rows. The response is the last column.
struct NormalEquations: Sendable {
    /// How many neighbouring masks are a group, for each level, ascending from 1.
    let levels: [Int]
    /// `X' P_k X` for each level; or, with given weights, only their sum.
    private(set) var matrices: [SymmetricMatrix]
    /// Groups of each level.
    private(set) var groups: [Int]

    private let terms: ModelTerms
    private let weights: [Double]?
    private var tiles: [Tile]
    private var sums: [GroupSum]
    private var row: [Double]

    /// The levels of an ensemble whose masks see a rotation's images: masks that share images also share their
    /// difficulty.
    static func levels(of ensemble: Ensemble, rotation: ImageRotation? = nil) -> [Int] {
        Set(ensemble.layers.map(\.repeats)).union([1]).union(rotation.map { [$0.masks] } ?? []).sorted()
    }

    /// Empty sums. `weights` has the factor of each level's matrix if only their weighted sum is needed. Sums that stay
    /// empty, `isEmpty`, take no memory.
    init(_ terms: ModelTerms, levels: [Int], weights: [Double]? = nil, isEmpty: Bool = false) {
        self.terms = terms
        self.levels = levels
        self.weights = weights
        let width = isEmpty ? 0 : terms.count + 1
        matrices = Array(repeating: SymmetricMatrix(order: width), count: weights == nil ? levels.count : 1)
        groups = Array(repeating: 0, count: levels.count)
        tiles = Array(repeating: Tile(width: width), count: levels.count)
        sums = Array(repeating: GroupSum(width: width), count: levels.count)
        row = Array(repeating: 0, count: width)
    }

    /// Adds a mask. Masks come in ascending order. Amortised O(columns²).
    mutating func add(index: Int, mask: Mask, response: Double) {
        row.withUnsafeMutableBufferPointer { row in
            guard let start = row.baseAddress else { return }
            terms.fill(start, with: mask)
            start[terms.count] = response
        }
        for level in levels.indices {
            let group = index / levels[level]
            if let open = sums[level].group, open != group { close(level) }
            sums[level].add(row, group: group)
        }
    }

    /// Brings the matrices up to date. A group whose masks arrive later in parts counts as several.
    mutating func finish() {
        for level in levels.indices {
            close(level)
            flush(level)
        }
    }

    private mutating func close(_ level: Int) {
        guard sums[level].count > 0 else { return }
        tiles[level].append(sums[level].values, scale: 1 / Double(sums[level].count).squareRoot())
        sums[level].clear()
        groups[level] += 1
        if tiles[level].isFull { flush(level) }
    }

    private mutating func flush(_ level: Int) {
        let target = weights == nil ? level : 0
        matrices[target].addOuterProducts(
            of: tiles[level].values, rows: tiles[level].rows, scale: weights.map { $0[level] } ?? 1)
        tiles[level].clear()
    }

    /// Rows waiting for BLAS, which is fast only for many at once.
    private struct Tile {
        private static let rowsMax = 96
        let width: Int
        private(set) var rows = 0
        private(set) var values: [Double] = []
        var isFull: Bool { rows == Self.rowsMax }

        init(width: Int) { self.width = width }

        mutating func append(_ row: [Double], scale: Double) {
            for value in row { values.append(value * scale) }
            rows += 1
        }

        mutating func clear() {
            values.removeAll(keepingCapacity: true)
            rows = 0
        }
    }

    /// The sum of the rows of an incomplete group.
    private struct GroupSum {
        private(set) var group: Int?
        private(set) var count = 0
        private(set) var values: [Double]

        init(width: Int) { values = Array(repeating: 0, count: width) }

        mutating func add(_ row: [Double], group: Int) {
            self.group = group
            count += 1
            for index in values.indices { values[index] += row[index] }
        }

        mutating func clear() {
            for index in values.indices { values[index] = 0 }
            count = 0
            group = nil
        }
    }
}
