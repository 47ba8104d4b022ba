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
    /// Epochs of fine-tuning, and the share of the held-out training images that are recognised after them; nil where
    /// there were none.
    var epochs: Int?
    var validationAccuracy: Double?
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
    /// The same of the long fine-tuning, which begins with the same network. Where an accuracy is to be kept, a round that
    /// falls below it is tuned at length before it is given up, and so is the last one that kept it; nil for others.
    var longHistory: TrainingHistory?
    var longFinetuned: CompressionPoint?

    /// Whether the long fine-tuning is what counts: it was done, and made no worse network of the held-out images.
    var isLongBetter: Bool {
        guard let long = longFinetuned else { return false }
        return (long.validationAccuracy ?? 0) >= (finetuned?.validationAccuracy ?? 0)
    }

    /// The network that comes of the round.
    var result: CompressionPoint? { isLongBetter ? longFinetuned : finetuned }
}

/// What a compression did so far.
struct CompressionCurve {
    var start: CompressionPoint
    var rounds: [CompressionRound]
    /// What the accuracy on the held-out images must be, and the unpruned network's; nil where a budget is to be met.
    var accuracy: (least: Double, reference: Double?)?

    /// The network that comes of the compression so far: the last round's, or of the rounds that kept the accuracy the
    /// last one's. Nil where there is none.
    var result: CompressionPoint? { resultRound?.result }

    /// The round of ``result``.
    var resultRound: CompressionRound? { rounds.last { keepsAccuracy($0) } }

    /// Whether a round's network is as accurate as it must be.
    func keepsAccuracy(_ round: CompressionRound) -> Bool {
        guard let accuracy else { return true }
        return (round.result?.validationAccuracy ?? 0) >= accuracy.least
    }

    /// The baselines that were ahead of the ranking, before any training.
    var betterBaselines: [(round: Int, point: CompressionPoint, ranking: CompressionPoint)] {
        rounds.flatMap { round in
            round.baselines.filter { $0.testCorrect > round.pruned.testCorrect }
                .map { (round.number, $0, round.pruned) }
        }
    }

    /// All networks, in the order in which they were made.
    var points: [CompressionPoint] {
        [start]
            + rounds.flatMap {
                [$0.pruned] + $0.baselines + [$0.reconstructed, $0.finetuned, $0.longFinetuned].compactMap { $0 }
            }
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
            "epochs", "validation_accuracy",
        ]
        func text(_ value: Double?) -> String { value.map { String(format: "%.6f", $0) } ?? "" }
        let rows = points.map { point in
            [
                "\(point.round)", point.method ?? "none", point.isFinetuned ? "yes" : "no",
                "\(point.multiplyAccumulates)", "\(point.parameters)", "\(point.filters)", text(removedFlops(point)),
                text(removedParameters(point)), text(point.testLoss), text(point.testAccuracy),
                text(point.predictedLoss), text(point.measuredLoss), point.isReconstructed == true ? "yes" : "no",
                point.epochs.map { "\($0)" } ?? "", text(point.validationAccuracy),
            ]
        }
        return ([header] + rows).map { $0.joined(separator: ",") + "\n" }.joined()
    }
}
