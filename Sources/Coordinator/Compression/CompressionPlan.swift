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
    /// The accuracy that is kept, where this and no share says how much goes.
    var accuracy: Goal?
    /// Times that it is ranked, pruned and fine-tuned; with an accuracy to keep, at most.
    var rounds: Int
    /// The masks of the first round; later ones are drawn in the same way from ``seed(round:)``.
    var ensemble: Ensemble
    /// How a mask is evaluated: always on training images.
    var evaluation: EvaluationSettings
    /// The pruning.
    var lossModel: LossModel
    var keepAtLeast: Double
    var roundTo: Int
    /// What layers keep besides; nil where nothing was asked for.
    var caps: [LayerCap]?
    /// The fine-tuning of the last round, and that of those before it.
    var lastTraining: TrainingSettings
    var earlierTraining: TrainingSettings

    /// An accuracy to keep, on the training images that ``TrainingSettings/validationImages`` keeps out of everything.
    struct Goal: Codable, Equatable {
        var floor: AccuracyFloor
        /// The share of what is left of the FLOPs that a round removes.
        var removePerRound: Double
    }

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
        if let accuracy {
            let removed = 1 - pow(1 - accuracy.removePerRound, Double(round))
            return PruningBudget(removingFlops: removed, parameters: nil, of: unpruned)
        }
        func removed(_ share: Double?) -> Double? {
            // The last round's share is the given one itself, whatever the power rounds to.
            share.map { round == rounds ? $0 : 1 - Self.remainingShare(removing: $0, after: round, of: rounds) }
        }
        return PruningBudget(
            removingFlops: removed(removeFlops), parameters: removed(removeParameters), of: unpruned)
    }

    /// What the layers of a round's network may look like after it, so that after all rounds they keep the share of the
    /// unpruned network that was asked for.
    func rules(for graph: Graph, of unpruned: Graph) -> WidthRules {
        var caps = caps ?? []
        // How many rounds there will be is not known where they go on for as long as the accuracy is kept.
        if accuracy != nil { caps.append(LayerCap(pattern: "*", keptShare: keepAtLeast)) }
        return WidthRules(
            leastShare: accuracy == nil ? pow(keepAtLeast, 1 / Double(rounds)) : 0, multiple: roundTo,
            leastShareOfLayer: LayerCap.leastShares(caps, in: graph, of: unpruned))
    }

    /// The training of a round, and the training of the unpruned network, round 0, that the others are compared with.
    func training(round: Int) -> TrainingSettings {
        var settings = round == rounds && accuracy == nil ? lastTraining : earlierTraining
        settings.seed = round == 0 ? ensemble.seed : seed(round: round)
        return settings
    }

    /// The long training of a round's network, where an accuracy is to be kept.
    func longTraining(round: Int) -> TrainingSettings {
        var settings = lastTraining
        settings.seed = seed(round: round)
        return settings
    }
}

extension LossModel: Codable {}
