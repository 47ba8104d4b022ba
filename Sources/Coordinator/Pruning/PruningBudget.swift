import Shared

/// What a pruned network must keep to; every limit that is given holds at once.
public struct PruningBudget: Sendable, Equatable {
    /// The most multiply-accumulates for one image.
    public var multiplyAccumulatesMax: Int?
    /// The most parameters.
    public var parametersMax: Int?
    /// The fewest filters that must go.
    public var removedFiltersMin: Int?

    /// Makes a budget.
    public init(multiplyAccumulatesMax: Int? = nil, parametersMax: Int? = nil, removedFiltersMin: Int? = nil) {
        self.multiplyAccumulatesMax = multiplyAccumulatesMax
        self.parametersMax = parametersMax
        self.removedFiltersMin = removedFiltersMin
    }

    /// A budget without these shares of the FLOPs and of the parameters of a network; nil sets no limit.
    public init(removingFlops flops: Double?, parameters: Double?, of cost: NetworkCost) {
        func most(_ share: Double?, of count: Int) -> Int? {
            share.map { Int(((1 - $0) * Double(count)).rounded(.down)) }
        }
        self.init(
            multiplyAccumulatesMax: most(flops, of: cost.multiplyAccumulates),
            parametersMax: most(parameters, of: cost.parameters))
    }

    /// By how much something that costs so much exceeds the budget: for every limit 0 where it is kept.
    func excess(_ cost: RemainingCost, removedFilters: Int) -> Excess {
        Excess(
            multiplyAccumulates: max(0, cost.multiplyAccumulates - (multiplyAccumulatesMax ?? .max)),
            parameters: max(0, cost.parameters - (parametersMax ?? .max)),
            filters: max(0, (removedFiltersMin ?? 0) - removedFilters))
    }

    /// What is over a budget.
    struct Excess: Equatable {
        var multiplyAccumulates: Int
        var parameters: Int
        var filters: Int

        var isNone: Bool { multiplyAccumulates == 0 && parameters == 0 && filters == 0 }

        /// The mean, over the limits exceeded by `start`, of the share of that excess which remains.
        func share(of start: Excess) -> Double {
            var shares: [Double] = []
            for limit in [\Excess.multiplyAccumulates, \.parameters, \.filters] where start[keyPath: limit] > 0 {
                shares.append(Double(self[keyPath: limit]) / Double(start[keyPath: limit]))
            }
            return shares.reduce(0, +) / Double(max(shares.count, 1))
        }
    }
}

/// What a pruned layer may look like.
public struct WidthRules: Sendable, Equatable {
    /// The fewest units that a dimension keeps, as a share of what it has; at least one always stays.
    public var leastShare: Double
    /// What the units that remain in a pruned dimension are a multiple of.
    public var multiple: Int

    /// Makes rules.
    public init(leastShare: Double = 0, multiple: Int = 1) {
        precondition((0...1).contains(leastShare) && multiple >= 1, "a share, and a positive multiple")
        self.leastShare = leastShare
        self.multiple = multiple
    }

    /// How many of `count` units may be removed, ascending from 0.
    public func removable(of count: Int) -> [Int] {
        let least = max(1, Int((leastShare * Double(count)).rounded(.up)))
        return (0..<max(count, 1)).filter { removed in
            removed == 0 || (count - removed >= least && (count - removed) % multiple == 0)
        }
    }
}
