import Foundation
import Shared

/// Everything that decides the result of a compression. Who computes it is not included and may change.
struct CompressionPlan: Codable, Equatable {
    /// The digest of the unpruned network's checkpoint.
    var network: Digest
    /// The digests of the records of both splits.
    var trainingImages: Digest
    var testImages: Digest
    /// The shares of the unpruned network to remove; nil without such a budget.
    var removeFlops: Double?
    var removeParameters: Double?
    /// The accuracy to keep, if this and no share says how much to remove.
    var accuracy: Goal?
    /// The number of rounds; with an accuracy target, the most.
    var rounds: Int
    /// The masks of the first round; later ones are drawn in the same way from ``seed(round:)``.
    var ensemble: Ensemble
    /// How a mask is evaluated: always on training images.
    var evaluation: EvaluationSettings
    /// The pruning.
    var lossModel: LossModel
    var keepAtLeast: Double
    var roundTo: Int
    /// Other limits on layers; nil if there are none.
    var caps: [LayerCap]?
    /// The fine-tuning of the last round, and that of earlier ones.
    var lastTraining: TrainingSettings
    var earlierTraining: TrainingSettings

    /// An accuracy to keep, on the training images that ``TrainingSettings/validationImages`` holds out of everything.
    struct Goal: Codable, Equatable {
        var floor: AccuracyFloor
        /// The share of the remaining FLOPs to remove per round.
        var removePerRound: Double
    }

    /// More rounds than anybody needs.
    static let roundsMax = 100

    /// The seed of a round, counted from one.
    func seed(round: Int) -> UInt64 { ensemble.seed &+ UInt64(round - 1) }

    /// The share of a cost that is left after a round: every round removes the same share of what is left.
    static func remainingShare(removing share: Double, after round: Int, of rounds: Int) -> Double {
        pow(1 - share, Double(round) / Double(rounds))
    }

    /// The network's cost limit after a round.
    func budget(round: Int, of unpruned: NetworkCost) -> PruningBudget {
        if let accuracy {
            let removed = 1 - pow(1 - accuracy.removePerRound, Double(round))
            return PruningBudget(removingFlops: removed, parameters: nil, of: unpruned)
        }
        func removed(_ share: Double?) -> Double? {
            // For the last round, exactly the given share, whatever the power rounds to.
            share.map { round == rounds ? $0 : 1 - Self.remainingShare(removing: $0, after: round, of: rounds) }
        }
        return PruningBudget(
            removingFlops: removed(removeFlops), parameters: removed(removeParameters), of: unpruned)
    }

    /// The limits on a round's layers, which together give the requested share of the unpruned network after all
    /// rounds.
    func rules(for graph: Graph, of unpruned: Graph) -> WidthRules {
        var caps = caps ?? []
        // The number of rounds is unknown if they continue while the accuracy is kept.
        if accuracy != nil { caps.append(LayerCap(pattern: "*", keptShare: keepAtLeast)) }
        return WidthRules(
            leastShare: accuracy == nil ? pow(keepAtLeast, 1 / Double(rounds)) : 0, multiple: roundTo,
            leastShareOfLayer: LayerCap.leastShares(caps, in: graph, of: unpruned))
    }

    /// The training of a round, or for round 0 that of the unpruned network, the reference for the others.
    func training(round: Int) -> TrainingSettings {
        var settings = round == rounds && accuracy == nil ? lastTraining : earlierTraining
        settings.seed = round == 0 ? ensemble.seed : seed(round: round)
        return settings
    }

    /// The long training of a round's network, with an accuracy target.
    func longTraining(round: Int) -> TrainingSettings {
        var settings = lastTraining
        settings.seed = seed(round: round)
        return settings
    }
}

extension LossModel: Codable {}
