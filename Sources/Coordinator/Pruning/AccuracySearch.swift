import Shared

/// The largest removal of FLOPs after which a network keeps an accuracy, found by bisecting the share of the FLOPs.
struct AccuracySearch {
    /// Halvings of the interval: to less than a hundredth of the network's FLOPs.
    private static let halvings = 7

    /// A network that was tried.
    struct Attempt {
        let outcome: Pruner.Outcome
        /// The filters that went.
        let removed: Mask
        let network: Network
        /// Its accuracy on the held-out images.
        let accuracy: Double
        /// The removed share of the FLOPs.
        let flopsRemoved: Double
        /// How the choice was refined; nil if it was not.
        var refinement: PruningRecord.Refinement?
    }

    let pruner: Pruner
    /// The least accuracy, 0 to 1.
    let accuracyMin: Double
    /// Removes the chosen filters, adapts the network as it will be written, and measures it.
    let attempt: (Pruner.Outcome) throws -> Attempt

    /// Searches, starting with the removals that `budget` requires in any case. Throws a `.usage` ``Failure`` if not
    /// even those keep the accuracy.
    func search(_ budget: PruningBudget) throws -> Attempt {
        var best = try attempt(pruner.prune(to: budget))
        guard best.accuracy >= accuracyMin else {
            throw Failure(
                .usage,
                "without \(Text.percent(best.flopsRemoved, 1)) of the FLOPs the network has "
                    + "\(Text.percent(best.accuracy, 2)) accuracy on the held-out images, below the required "
                    + "\(Text.percent(accuracyMin, 2)): ask for less, or give --reconstruct")
        }
        let all = Double(pruner.graph.cost().multiplyAccumulates)
        var low = best.flopsRemoved
        var high = 1.0
        for _ in 0..<Self.halvings {
            let share = (low + high) / 2
            var further = budget
            further.multiplyAccumulatesMax = min(
                Int(((1 - share) * all).rounded(.down)), budget.multiplyAccumulatesMax ?? .max)
            guard let outcome = try? pruner.prune(to: further) else {
                high = share
                continue
            }
            let tried = try attempt(outcome)
            if tried.accuracy >= accuracyMin {
                (best, low) = (tried, share)
            } else {
                high = share
            }
        }
        return best
    }
}
