import Foundation
import Shared

/// Everything that decides the result of a compression. Who computes it is not in it and may change.
struct CompressionPlan: Codable, Equatable {
    /// The digest of the unpruned network's checkpoint.
    var network: Digest
    /// The digests of the records of both splits.
    var trainingImages: Digest
    var testImages: Digest
    /// The shares of the unpruned network that are to go; nil where there is no such budget.
    var removeFlops: Double?
    var removeParameters: Double?
    /// Times that it is ranked, pruned and fine-tuned.
    var rounds: Int
    /// The masks of the first round; later ones are drawn in the same way from ``seed(round:)``.
    var ensemble: Ensemble
    /// How a mask is evaluated: always on training images.
    var evaluation: EvaluationSettings
    /// The pruning.
    var lossModel: LossModel
    var keepAtLeast: Double
    var roundTo: Int
    /// The fine-tuning of the last round, and that of those before it.
    var lastTraining: TrainingSettings
    var earlierTraining: TrainingSettings

    /// More rounds than anybody needs: each removes a part of what is left.
    static let roundsMax = 100

    /// The seed of a round, counted from one.
    func seed(round: Int) -> UInt64 { ensemble.seed &+ UInt64(round - 1) }

    /// The share of a cost that is left after a round: every round removes the same share of what there is.
    static func remainingShare(removing share: Double, after round: Int, of rounds: Int) -> Double {
        pow(1 - share, Double(round) / Double(rounds))
    }

    /// What the network may cost after a round.
    func budget(round: Int, of unpruned: NetworkCost) -> PruningBudget {
        func removed(_ share: Double?) -> Double? {
            // The last round's share is the given one itself, whatever the power rounds to.
            share.map { round == rounds ? $0 : 1 - Self.remainingShare(removing: $0, after: round, of: rounds) }
        }
        return PruningBudget(
            removingFlops: removed(removeFlops), parameters: removed(removeParameters), of: unpruned)
    }

    /// What a pruned layer may look like in one round, so that after all of them it keeps the share that was asked for.
    var rules: WidthRules {
        WidthRules(leastShare: pow(keepAtLeast, 1 / Double(rounds)), multiple: roundTo)
    }

    /// The training of a round.
    func training(round: Int) -> TrainingSettings {
        var settings = round == rounds ? lastTraining : earlierTraining
        settings.seed = seed(round: round)
        return settings
    }
}

extension LossModel: Codable {}
