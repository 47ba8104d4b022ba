import Foundation
import Shared

/// One network of a compression: what it costs and how well it recognises the test images.
struct CompressionPoint: Codable, Equatable {
    /// The round that made it, counted from one; 0 for the unpruned network.
    var round: Int
    /// What chose its filters; nil for the unpruned network.
    var method: String?
    var isFinetuned: Bool
    /// Whether the layers after the removed filters were refitted, without training yet; absent in earlier folders.
    var isReconstructed: Bool?
    var parameters: Int
    /// Multiply-accumulates of convolutions and linear layers for one image.
    var multiplyAccumulates: Int
    var filters: Int
    /// Mean cross-entropy in nats on the test images, and how many of them are recognised.
    var testLoss: Double
    var testCorrect: Int
    var testImages: Int
    /// The mean cross-entropy on the ranking's training images, by the ranking's settings, that the ranking predicts, and
    /// the measured one; nil where nothing predicts it.
    var predictedLoss: Double?
    var measuredLoss: Double?

    /// The share of the test images that are recognised.
    var testAccuracy: Double { Double(testCorrect) / Double(max(testImages, 1)) }
}

/// One round: rank, prune, fine-tune.
struct CompressionRound: Codable, Equatable {
    /// Counted from one.
    var number: Int
    /// The network that the ranking made, and those that the baselines made of the same network at the same budget.
    var pruned: CompressionPoint
    var baselines: [CompressionPoint]
    /// The ranking's network with its layers refitted, which fine-tuning begins with; nil in earlier folders.
    var reconstructed: CompressionPoint?
    /// How the fine-tuning went, and what came of it; nil before it.
    var history: TrainingHistory?
    var finetuned: CompressionPoint?
}

/// What a compression did so far.
struct CompressionCurve {
    var start: CompressionPoint
    var rounds: [CompressionRound]

    /// The baselines that were ahead of the ranking, before any training.
    var betterBaselines: [(round: Int, point: CompressionPoint, ranking: CompressionPoint)] {
        rounds.flatMap { round in
            round.baselines.filter { $0.testCorrect > round.pruned.testCorrect }
                .map { (round.number, $0, round.pruned) }
        }
    }

    /// All networks, in the order in which they were made.
    var points: [CompressionPoint] {
        [start] + rounds.flatMap { [$0.pruned] + $0.baselines + [$0.reconstructed, $0.finetuned].compactMap { $0 } }
    }

    /// The shares of the unpruned network that a point does without.
    func removedFlops(_ point: CompressionPoint) -> Double {
        1 - Double(point.multiplyAccumulates) / Double(start.multiplyAccumulates)
    }

    func removedParameters(_ point: CompressionPoint) -> Double {
        1 - Double(point.parameters) / Double(start.parameters)
    }

    /// A table with a header line.
    var csv: String {
        let header = [
            "round", "method", "finetuned", "flops", "parameters", "filters", "flops_removed", "parameters_removed",
            "test_loss", "test_accuracy", "predicted_loss", "measured_loss", "reconstructed",
        ]
        func text(_ value: Double?) -> String { value.map { String(format: "%.6f", $0) } ?? "" }
        let rows = points.map { point in
            [
                "\(point.round)", point.method ?? "none", point.isFinetuned ? "yes" : "no",
                "\(point.multiplyAccumulates)", "\(point.parameters)", "\(point.filters)", text(removedFlops(point)),
                text(removedParameters(point)), text(point.testLoss), text(point.testAccuracy),
                text(point.predictedLoss), text(point.measuredLoss), point.isReconstructed == true ? "yes" : "no",
            ]
        }
        return ([header] + rows).map { $0.joined(separator: ",") + "\n" }.joined()
    }
}
