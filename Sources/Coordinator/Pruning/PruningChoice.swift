import Shared

/// The choice of how many units to remove from every dimension so that a budget holds and the predicted loss is least.
///
/// A dimension's removal order is fixed (the least important units first), so a choice is one count per dimension. The
/// search is greedy, then improved: greedy steps remove the few units of one dimension with the most savings per loss,
/// counting the actual savings given what is already removed; then units are restored wherever the budget allows, and
/// swapped between dimensions while the loss falls. Negative importances therefore never make it remove more than the
/// budget requires, except in a swap.
public struct PruningChoice {
    /// The most counts ahead to look in one step or swap.
    static let reach = 24
    /// Exchanges after which the search stops in any case.
    private static let exchangesMax = 10_000
    /// Smaller gains are rounding.
    private static let gainMin = 1e-12

    let space: RemovalSpace
    let budget: PruningBudget
    /// For every dimension, the allowed counts of removed units, ascending from 0.
    let allowed: [[Int]]
    /// For every dimension, the predicted contribution to the loss of 0, 1, … removed units.
    let losses: [[Double]]

    /// The state of the search: for every dimension an index in ``allowed``, and the cost.
    struct State {
        var steps: [Int]
        var removed: [Int]
        var cost: RemainingCost
        var removedFilters: Int
    }

    /// States the problem. `losses[d][r]` is the loss that removing the `r` least important units of dimension `d`
    /// adds.
    public init(_ space: RemovalSpace, losses: [[Double]], budget: PruningBudget, rules: WidthRules) {
        precondition(losses.count == space.dimensions.count, "one curve for each dimension")
        for (curve, dimension) in zip(losses, space.dimensions) {
            precondition(curve.count == dimension.units.count + 1, "one value for each count of removed units")
        }
        self.space = space
        self.budget = budget
        self.losses = losses
        allowed = space.dimensions.map { rules.removable(of: $0) }
    }

    /// How many units of every dimension to remove. Throws `.usage` if no choice keeps the budget.
    public func removed() throws -> [Int] {
        try checkFeasible()
        var state = start
        takeSteps(from: &state)
        var exchanges = 0
        while exchanges < Self.exchangesMax, let moves = bestExchange(from: state) {
            for move in moves { apply(move, to: &state) }
            exchanges += 1
        }
        return state.removed
    }

    /// The predicted loss of a choice, as a sum over dimensions.
    public func loss(removed: [Int]) -> Double {
        zip(losses, removed).reduce(0) { $0 + $1.0[$1.1] }
    }

    /// Nothing is removed yet.
    var start: State {
        let removed = [Int](repeating: 0, count: allowed.count)
        return State(steps: removed, removed: removed, cost: space.cost(removed: removed), removedFilters: 0)
    }

    private func checkFeasible() throws {
        let most = allowed.map { $0.last ?? 0 }
        let filters = zip(most, space.dimensions).reduce(0) { $0 + $1.0 * $1.1.filtersPerUnit }
        let cost = space.cost(removed: most)
        let excess = budget.excess(cost, removedFilters: filters)
        let all = space.cost(removed: most.map { _ in 0 })
        func share(_ least: Int, of all: Int) -> String {
            let thousandths = Int((Double(all - least) / Double(max(all, 1)) * 1000).rounded(.down))
            return "\(thousandths / 10).\(thousandths % 10) %"
        }
        let advice =
            "; ask for less, lower --keep-at-least and --keep-layer, or use --scope all on a run whose masks cover all"
        if excess.multiplyAccumulates > 0 {
            let most = share(cost.multiplyAccumulates, of: all.multiplyAccumulates)
            throw Failure(.usage, "at most \(most) of the FLOPs can be removed\(advice)")
        }
        if excess.parameters > 0 {
            let most = share(cost.parameters, of: all.parameters)
            throw Failure(.usage, "at most \(most) of the parameters can be removed\(advice)")
        }
        if excess.picoseconds > 0 { throw Failure(.usage, "no removal makes it that fast\(advice)") }
        if excess.filters > 0 { throw Failure(.usage, "at most \(filters) filters can be removed\(advice)") }
    }

    /// A change of one dimension to another of its allowed counts.
    struct Move {
        var dimension: Int
        var step: Int
    }

    func lossChange(_ move: Move, from state: State) -> Double {
        let curve = losses[move.dimension]
        return curve[allowed[move.dimension][move.step]] - curve[state.removed[move.dimension]]
    }

    /// O(layers that the dimension shrinks).
    func apply(_ move: Move, to state: inout State) {
        let dimension = move.dimension
        let layers = space.cost.layersOfDimension[dimension]
        for layer in layers { state.cost = state.cost - space.cost.layers[layer].cost(removed: state.removed) }
        let more = allowed[dimension][move.step] - state.removed[dimension]
        state.removed[dimension] += more
        state.steps[dimension] = move.step
        state.removedFilters += more * space.dimensions[dimension].filtersPerUnit
        for layer in layers { state.cost += space.cost.layers[layer].cost(removed: state.removed) }
    }

    func excess(_ state: State) -> PruningBudget.Amount {
        budget.excess(state.cost, removedFilters: state.removedFilters)
    }

    /// The moves, one or two, that lower the loss most while the budget is kept, or nil.
    private func bestExchange(from state: State) -> [Move]? {
        var best: (moves: [Move], gain: Double)?
        func consider(_ moves: [Move], gain: Double) {
            if gain > max(best?.gain ?? 0, Self.gainMin) { best = (moves, gain) }
        }
        var trial = state
        for giver in allowed.indices {
            let current = state.steps[giver]
            for step in (max(0, current - Self.reach)..<current).reversed() {
                let back = Move(dimension: giver, step: step)
                let gain = -lossChange(back, from: state)
                guard gain > Self.gainMin else { continue }
                apply(back, to: &trial)
                if excess(trial).isNone {
                    consider([back], gain: gain)
                } else {
                    for taker in allowed.indices where taker != giver {
                        guard let take = leastRemoval(in: taker, keeping: trial) else { continue }
                        consider([back, take], gain: gain - lossChange(take, from: state))
                    }
                }
                apply(Move(dimension: giver, step: current), to: &trial)
            }
        }
        return best?.moves
    }

    /// The smallest further removal in a dimension that brings a state back under the budget.
    private func leastRemoval(in dimension: Int, keeping state: State) -> Move? {
        var trial = state
        let current = state.steps[dimension]
        for step in (current + 1)..<max(current + 1, min(allowed[dimension].count, current + 1 + Self.reach)) {
            apply(Move(dimension: dimension, step: step), to: &trial)
            if excess(trial).isNone { return Move(dimension: dimension, step: step) }
        }
        return nil
    }
}
