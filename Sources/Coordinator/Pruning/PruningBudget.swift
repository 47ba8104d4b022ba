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
    func excess(_ cost: RemainingCost, removedFilters: Int) -> Amount {
        Amount(
            multiplyAccumulates: max(0, cost.multiplyAccumulates - (multiplyAccumulatesMax ?? .max)),
            parameters: max(0, cost.parameters - (parametersMax ?? .max)),
            filters: max(0, (removedFiltersMin ?? 0) - removedFilters))
    }

    /// What is over a budget, or comes off it.
    struct Amount: Equatable {
        var multiplyAccumulates: Int
        var parameters: Int
        var filters: Int

        var isNone: Bool { multiplyAccumulates == 0 && parameters == 0 && filters == 0 }

        /// What is left of this excess when something is saved.
        func reduced(by saving: Amount) -> Amount {
            Amount(
                multiplyAccumulates: max(0, multiplyAccumulates - saving.multiplyAccumulates),
                parameters: max(0, parameters - saving.parameters), filters: max(0, filters - saving.filters))
        }

        /// Whether no part of a saving is in vain, by the limits that `start` exceeds.
        func isReduced(byAllOf saving: Amount, start: Amount) -> Bool {
            (start.multiplyAccumulates == 0 || saving.multiplyAccumulates <= multiplyAccumulates)
                && (start.parameters == 0 || saving.parameters <= parameters)
                && (start.filters == 0 || saving.filters <= filters)
        }

        /// The mean of the shares of `start`'s amounts that these are, over those that are not 0.
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
            add(filters, of: start.filters)
            return shares / max(limits, 1)
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
