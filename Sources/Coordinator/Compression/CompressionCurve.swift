import Foundation
import Shared

/// One network of a compression: its costs and test accuracy.
struct CompressionPoint: Codable, Equatable {
    /// The round that made it, counted from one; 0 for the unpruned network.
    var round: Int
    /// How its filters were chosen; nil for the unpruned network.
    var method: String?
    var isFinetuned: Bool
    /// Whether the layers after the removed filters were refitted, without training yet; absent in earlier folders.
    var isReconstructed: Bool?
    var parameters: Int
    /// Multiply-accumulates of convolutions and linear layers for one image.
    var multiplyAccumulates: Int
    var filters: Int
    /// Mean cross-entropy in nats on the test images, and the number of correct ones.
    var testLoss: Double
    var testCorrect: Int
    var testImages: Int
    /// Epochs of fine-tuning, and the accuracy on held-out training images afterwards; nil if there are none.
    var epochs: Int?
    var validationAccuracy: Double?
    /// The mean cross-entropy on the ranking's training images, with the ranking's settings, as predicted by the
    /// ranking and as measured; nil without a prediction.
    var predictedLoss: Double?
    var measuredLoss: Double?

    /// The test accuracy.
    var testAccuracy: Double { Double(testCorrect) / Double(max(testImages, 1)) }
}

/// One round: rank, prune, fine-tune.
struct CompressionRound: Codable, Equatable {
    /// Counted from one.
    var number: Int
    /// The network chosen by the ranking, and those that the baselines make of the same network at the same budget.
    var pruned: CompressionPoint
    var baselines: [CompressionPoint]
    /// The ranking's network with its layers refitted, where fine-tuning starts; nil in earlier folders.
    var reconstructed: CompressionPoint?
    /// The history of the fine-tuning, and its result; nil before it.
    var history: TrainingHistory?
    var finetuned: CompressionPoint?
    /// The same for the long fine-tuning, which starts from the same network. With an accuracy target, a round that
    /// falls below it is tuned at length before it is rejected, and so is the last one that kept it; nil for others.
    var longHistory: TrainingHistory?
    var longFinetuned: CompressionPoint?

    /// Whether the long fine-tuning counts: it was done, and its result is no worse on the held-out images.
    var isLongBetter: Bool {
        guard let long = longFinetuned else { return false }
        return (long.validationAccuracy ?? 0) >= (finetuned?.validationAccuracy ?? 0)
    }

    /// The round's result.
    var result: CompressionPoint? { isLongBetter ? longFinetuned : finetuned }
}

/// A compression's progress so far.
struct CompressionCurve {
    var start: CompressionPoint
    var rounds: [CompressionRound]
    /// The required accuracy on the held-out images, and the unpruned network's; nil with a budget.
    var accuracy: (least: Double, reference: Double?)?

    /// The compression's result so far: the last round's network, or with an accuracy target, that of the last round
    /// that kept it. Nil if there is none.
    var result: CompressionPoint? { resultRound?.result }

    /// The round of ``result``.
    var resultRound: CompressionRound? { rounds.last { keepsAccuracy($0) } }

    /// Whether a round's network has the required accuracy.
    func keepsAccuracy(_ round: CompressionRound) -> Bool {
        guard let accuracy else { return true }
        return (round.result?.validationAccuracy ?? 0) >= accuracy.least
    }

    /// The baselines that beat the ranking, before any training.
    var betterBaselines: [(round: Int, point: CompressionPoint, ranking: CompressionPoint)] {
        rounds.flatMap { round in
            round.baselines.filter { $0.testCorrect > round.pruned.testCorrect }
                .map { (round.number, $0, round.pruned) }
        }
    }

    /// All networks, in the order they were made.
    var points: [CompressionPoint] {
        [start]
            + rounds.flatMap {
                [$0.pruned] + $0.baselines + [$0.reconstructed, $0.finetuned, $0.longFinetuned].compactMap { $0 }
            }
    }

    /// The shares of the unpruned network that a point lacks.
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
