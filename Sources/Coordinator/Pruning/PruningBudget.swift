import Shared

/// The limits on a pruned network; all given ones hold at once.
public struct PruningBudget: Sendable, Equatable {
    /// The most multiply-accumulates for one image.
    public var multiplyAccumulatesMax: Int?
    /// The most parameters.
    public var parametersMax: Int?
    /// The most picoseconds that the layers may take for an image, by a ``LatencyModel``.
    var picosecondsMax: Int?
    /// The fewest filters to remove.
    public var removedFiltersMin: Int?

    /// Makes a budget.
    public init(multiplyAccumulatesMax: Int? = nil, parametersMax: Int? = nil, removedFiltersMin: Int? = nil) {
        self.multiplyAccumulatesMax = multiplyAccumulatesMax
        self.parametersMax = parametersMax
        self.removedFiltersMin = removedFiltersMin
    }

    /// A budget without these shares of a network's FLOPs and parameters; nil sets no limit.
    public init(removingFlops flops: Double?, parameters: Double?, of cost: NetworkCost) {
        func most(_ share: Double?, of count: Int) -> Int? {
            share.map { Int(((1 - $0) * Double(count)).rounded(.down)) }
        }
        self.init(
            multiplyAccumulatesMax: most(flops, of: cost.multiplyAccumulates),
            parametersMax: most(parameters, of: cost.parameters))
    }

    /// By how much a cost exceeds the budget: 0 for every limit that holds.
    func excess(_ cost: RemainingCost, removedFilters: Int) -> Amount {
        Amount(
            multiplyAccumulates: max(0, cost.multiplyAccumulates - (multiplyAccumulatesMax ?? .max)),
            parameters: max(0, cost.parameters - (parametersMax ?? .max)),
            picoseconds: max(0, cost.picoseconds - (picosecondsMax ?? .max)),
            filters: max(0, (removedFiltersMin ?? 0) - removedFilters))
    }

    /// The excess over a budget, or a saving.
    struct Amount: Equatable {
        var multiplyAccumulates: Int
        var parameters: Int
        var picoseconds: Int
        var filters: Int

        var isNone: Bool { multiplyAccumulates == 0 && parameters == 0 && picoseconds == 0 && filters == 0 }

        /// The remaining excess after a saving.
        func reduced(by saving: Amount) -> Amount {
            Amount(
                multiplyAccumulates: max(0, multiplyAccumulates - saving.multiplyAccumulates),
                parameters: max(0, parameters - saving.parameters),
                picoseconds: max(0, picoseconds - saving.picoseconds), filters: max(0, filters - saving.filters))
        }

        /// Whether no part of a saving is wasted, by the limits that `start` exceeds.
        func isReduced(byAllOf saving: Amount, start: Amount) -> Bool {
            (start.multiplyAccumulates == 0 || saving.multiplyAccumulates <= multiplyAccumulates)
                && (start.parameters == 0 || saving.parameters <= parameters)
                && (start.picoseconds == 0 || saving.picoseconds <= picoseconds)
                && (start.filters == 0 || saving.filters <= filters)
        }

        /// The mean of these amounts as shares of `start`'s, over those that are not 0.
        func share(of start: Amount) -> Double {
            var shares = 0.0
            var limits = 0.0
            func add(_ amount: Int, of all: Int) {
                guard all > 0 else { return }
                shares += Double(amount) / Double(all)
                limits += 1
            }
            add(multiplyAccumulates, of: start.multiplyAccumulates)
            add(parameters, of: start.parameters)
            add(picoseconds, of: start.picoseconds)
            add(filters, of: start.filters)
            return shares / max(limits, 1)
        }
    }
}

/// The rules for a pruned layer's width.
public struct WidthRules: Sendable, Equatable {
    /// The least share of its filters that a layer keeps; at least one filter always stays.
    public var leastShare: Double
    /// The number of remaining filters in a pruned layer is a multiple of this.
    public var multiple: Int
    /// For layers that keep more than ``leastShare``, by name, the least share of their filters to keep.
    public var leastShareOfLayer: [String: Double]

    /// Makes rules.
    public init(leastShare: Double = 0, multiple: Int = 1, leastShareOfLayer: [String: Double] = [:]) {
        precondition((0...1).contains(leastShare) && multiple >= 1, "a share, and a positive multiple")
        self.leastShare = leastShare
        self.multiple = multiple
        self.leastShareOfLayer = leastShareOfLayer
    }

    /// How many units of a dimension may be removed, ascending from 0: every layer keeps at least one filter and its
    /// share, which includes those that must stay.
    func removable(of dimension: RemovalSpace.Dimension) -> [Int] {
        let count = dimension.units.count
        return (0...count).filter { removed in
            removed == 0
                || dimension.layers.allSatisfy { layer in
                    let all = layer.fixed + count * layer.filtersPerUnit
                    let left = all - removed * layer.filtersPerUnit
                    let share = max(leastShare, leastShareOfLayer[layer.name] ?? 0)
                    // The share may be a quotient of two counts, and rounding must not make one more filter of it.
                    let least = max(1, Int((share * Double(all) - 1e-9).rounded(.up)))
                    return left >= least && left % multiple == 0
                }
        }
    }
}
