import Shared

/// Chooses what to remove from a network, given scores, a model of how they add up, rules and a budget.
public struct Pruner: Sendable {
    /// Bisections for the largest share of FLOPs that a loss allows: to a thousandth of the network.
    private static let halvings = 10

    let graph: Graph
    let scores: FilterScores
    let space: RemovalSpace
    private let orders: [RemovalOrder]
    private let rules: WidthRules
    private let calibration: LossCalibration?

    /// What was chosen.
    public struct Outcome: Sendable {
        /// The filters to remove, set.
        public fileprivate(set) var mask: Mask
        /// How many units of every dimension go.
        let removed: [Int]
        /// The predicted loss, in nats; nil if the scores predict none, or if networks were measured but none as small.
        public fileprivate(set) var predictedLoss: Double?
        /// The same with its interval, if networks were measured.
        fileprivate(set) var forecast: LossCalibration.Forecast?
        /// The removed units' scores, combined by the loss model; compares choices by the same scores.
        let scoreLoss: Double

        /// The same numbers of other units, without a prediction.
        func removing(_ mask: Mask) -> Outcome {
            var outcome = self
            (outcome.mask, outcome.predictedLoss, outcome.forecast) = (mask, nil, nil)
            return outcome
        }
    }

    /// Prepares the choice for a network.
    init(
        _ graph: Graph, scores: FilterScores, model: LossModel, rules: WidthRules, latency: LatencyModel? = nil
    ) {
        self.graph = graph
        self.scores = scores
        self.rules = rules
        space = RemovalSpace(graph, removable: scores.removable, latency: latency)
        orders = space.dimensions.map { RemovalOrder($0, scores, model) }
        let measured = (scores.prediction?.measured ?? []).map { [orders] removed, loss in
            (response: orders.reduce(0) { $0 + $1.contribution(of: removed) }, loss: loss)
        }
        calibration = LossCalibration(measured)
    }

    /// The prediction for removing nothing.
    public var unpruned: Outcome { outcome(removed: orders.map { _ in 0 }) }

    /// The removal that keeps a budget at the least predicted loss. Throws a `.usage` ``Failure`` if there is none.
    public func prune(to budget: PruningBudget) throws -> Outcome {
        let choice = PruningChoice(space, losses: orders.map(\.curve), budget: budget, rules: rules)
        return outcome(removed: try choice.removed())
    }

    /// The removal of most FLOPs that keeps a budget and whose predicted loss is at most `rise` nats above the unpruned
    /// network's. Throws a `.usage` ``Failure`` if there is none, or scores predict no loss.
    public func prune(to budget: PruningBudget, lossRiseMax rise: Double) throws -> Outcome {
        guard let start = unpruned.predictedLoss else {
            throw Failure(.usage, "--max-loss-rise needs --method ensemble or ablation, which predict a loss")
        }
        func isAllowed(_ outcome: Outcome) -> Bool { (outcome.predictedLoss ?? .infinity) - start <= rise }
        var best = try prune(to: budget)
        guard isAllowed(best) else {
            let least = (((best.predictedLoss ?? 0) - start) * 10_000).rounded() / 10_000
            throw Failure(
                .usage, "the budget alone is predicted to raise the loss by \(least), more than --max-loss-rise \(rise)"
            )
        }
        let all = Double(space.cost(removed: orders.map { _ in 0 }).multiplyAccumulates)
        var low = 0.0
        var high = 1.0
        for _ in 0..<Self.halvings {
            let share = (low + high) / 2
            var further = budget
            further.multiplyAccumulatesMax = min(
                Int(((1 - share) * all).rounded(.down)), budget.multiplyAccumulatesMax ?? .max)
            if let outcome = try? prune(to: further), isAllowed(outcome) {
                (best, low) = (outcome, share)
            } else {
                high = share
            }
        }
        return best
    }

    /// This many units of every dimension, the least important ones.
    func outcome(removed: [Int]) -> Outcome {
        var mask = Mask(count: scores.removable.count)
        var loss = scores.prediction?.anchor ?? 0
        var contribution = 0.0
        for (order, count) in zip(orders, removed) {
            for filter in order.units.prefix(count).joined() { mask[filter] = true }
            contribution += order.curve[count]
            loss += order.curve[count] - order.expectedContribution
        }
        let forecast = calibration?.forecast(contribution)
        return Outcome(
            mask: mask, removed: removed,
            predictedLoss: calibration == nil ? scores.prediction.map { $0.response.loss(loss) } : forecast?.loss,
            forecast: forecast, scoreLoss: contribution)
    }

    /// A random number of units of every dimension within the rules, in the order of the scores.
    func randomMask(using generator: inout RandomGenerator) -> Mask {
        outcome(
            removed: space.dimensions.map { dimension in
                let allowed = rules.removable(of: dimension)
                return allowed[generator.below(allowed.count)]
            }
        ).mask
    }
}
