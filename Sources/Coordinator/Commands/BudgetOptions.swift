import Shared

/// The budgets of what a network costs; `prune` and `compress` share them.
struct CostBudgetOptions {
    @Option("Remove at least this share of the FLOPs.", value: "SHARE") var removeFlops: Double?
    @Option("Remove at least this share of the parameters.", value: "SHARE") var removeParameters: Double?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        for (name, share) in [("--remove-flops", removeFlops), ("--remove-parameters", removeParameters)] {
            guard let share else { continue }
            guard (0..<1).contains(share) else {
                throw Failure(.usage, "\(name) must be a share, at least 0 and below 1, not \(share)")
            }
        }
    }
}

/// What decides a pruning's budget.
struct BudgetOptions {
    @OptionGroup var cost = CostBudgetOptions()
    @Option("Remove this share of the filters that may go, or from 1 up this number of them.", value: "SHARE|N")
    var removeFilters: Double?
    @Option(
        "Remove as many FLOPs as this rise of the predicted loss, in nats, allows; the other budgets hold too.",
        value: "NATS") var maxLossRise: Double?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        guard
            cost.removeFlops != nil || cost.removeParameters != nil || removeFilters != nil || maxLossRise != nil
        else {
            throw Failure(
                .usage, "no budget: give --remove-flops, --remove-parameters, --remove-filters or --max-loss-rise")
        }
        try cost.validate()
        if let removeFilters {
            let isNumber = removeFilters >= 1 && removeFilters == removeFilters.rounded() && removeFilters < 1e9
            guard (0..<1).contains(removeFilters) || isNumber else {
                throw Failure(.usage, "--remove-filters must be a share below 1 or a whole number")
            }
        }
        if let maxLossRise, maxLossRise < 0 { throw Failure(.usage, "--max-loss-rise must not be negative") }
    }

    /// The pruner's choice under the budget.
    func outcome(of pruner: Pruner) throws -> Pruner.Outcome {
        var budget = PruningBudget(
            removingFlops: cost.removeFlops, parameters: cost.removeParameters, of: pruner.graph.cost())
        budget.removedFiltersMin = removeFilters.map {
            $0 < 1 ? Int(($0 * Double(pruner.space.filters)).rounded()) : Int($0)
        }
        guard let maxLossRise else { return try pruner.prune(to: budget) }
        return try pruner.prune(to: budget, lossRiseMax: maxLossRise)
    }
}
