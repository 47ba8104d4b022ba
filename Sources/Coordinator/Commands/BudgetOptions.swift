import Shared

/// Budgets of a network's costs, shared by `prune` and `compress`.
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

/// The accuracy that a smaller network must keep, shared by `prune` and `compress`.
struct AccuracyFloorOptions {
    @Option(
        "Make the network as small as possible with at most this drop in accuracy, in percentage points, on "
            + "held-out training images (--validation-images).", value: "POINTS") var maxAccuracyDrop: Percentage?
    @Option("The same, with at least this accuracy on those images.", value: "PERCENT")
    var minAccuracy: Percentage?

    /// The target; nil if none is given. Throws a `.usage` ``Failure``.
    var floor: AccuracyFloor? {
        get throws {
            if maxAccuracyDrop != nil, minAccuracy != nil {
                throw Failure(.usage, "give --max-accuracy-drop or --min-accuracy, not both")
            }
            return maxAccuracyDrop.map { .drop($0.share) } ?? minAccuracy.map { .least($0.share) }
        }
    }
}

/// What decides a pruning's budget.
struct BudgetOptions {
    @OptionGroup var cost = CostBudgetOptions()
    @OptionGroup var latency = LatencyOptions()
    @OptionGroup var accuracy = AccuracyFloorOptions()
    @Option(
        "How many training images to hold out for --max-accuracy-drop and --min-accuracy: the last N. By "
            + "default a tenth of them, at most 5000.", value: "N") var validationImages: Int?
    @Option("Remove this share of the removable filters, or this number of them if it is 1 or more.", value: "SHARE|N")
    var removeFilters: Double?
    @Option(
        "Remove as many FLOPs as this rise of the predicted loss allows, in nats; other budgets hold too.",
        value: "NATS") var maxLossRise: Double?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        try latency.validate()
        let floor = try accuracy.floor
        let others = [cost.removeFlops, cost.removeParameters, removeFilters, maxLossRise]
        if latency.targetSpeedup != nil {
            guard floor == nil, others.allSatisfy({ $0 == nil }) else {
                throw Failure(.usage, "--target-speedup is the budget; give no other")
            }
            return
        }
        guard
            floor != nil || others.contains(where: { $0 != nil })
        else {
            throw Failure(
                .usage,
                "no budget: give --remove-flops, --remove-parameters, --remove-filters, --max-loss-rise, "
                    + "--max-accuracy-drop or --target-speedup")
        }
        if maxLossRise != nil, floor != nil {
            throw Failure(.usage, "give --max-loss-rise or an accuracy, not both")
        }
        if let validationImages {
            guard validationImages > 0 else { throw Failure(.usage, "--validation-images must be positive") }
            guard floor != nil else {
                throw Failure(.usage, "--validation-images is for --max-accuracy-drop and --min-accuracy")
            }
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

    /// What must be removed in any case.
    func least(of pruner: Pruner) -> PruningBudget {
        var budget = PruningBudget(
            removingFlops: cost.removeFlops, parameters: cost.removeParameters, of: pruner.graph.cost())
        budget.removedFiltersMin = removeFilters.map {
            $0 < 1 ? Int(($0 * Double(pruner.space.filters)).rounded()) : Int($0)
        }
        return budget
    }

    /// Limits on a network that costs no more than a choice, in the units of the budget.
    func limits(atMost choice: Pruner.Outcome, of pruner: Pruner) -> PruningBudget {
        let cost = pruner.space.cost(removed: choice.removed)
        var limits = PruningBudget()
        if self.cost.removeParameters != nil { limits.parametersMax = cost.parameters }
        if removeFilters != nil {
            limits.removedFiltersMin = zip(choice.removed, pruner.space.dimensions).reduce(0) {
                $0 + $1.0 * $1.1.filtersPerUnit
            }
        }
        if self.cost.removeFlops != nil || limits == PruningBudget() {
            limits.multiplyAccumulatesMax = cost.multiplyAccumulates
        }
        return limits
    }

    /// The pruner's choice under the budget and, if given, the rise of the loss.
    func outcome(of pruner: Pruner) throws -> Pruner.Outcome {
        let budget = least(of: pruner)
        guard let maxLossRise else { return try pruner.prune(to: budget) }
        return try pruner.prune(to: budget, lossRiseMax: maxLossRise)
    }
}
