import Foundation
import Shared

/// How a training went, epoch by epoch.
struct TrainingHistory: Sendable, Equatable, Codable {
    /// One epoch.
    struct Epoch: Sendable, Equatable, Codable {
        /// The epoch, counted from one.
        var epoch: Int
        /// The learning rate of its last step.
        var learningRate: Float
        /// The mean of the minimised loss over its augmented images.
        var trainingLoss: Double
        /// The accuracy on those images, 0…1.
        var trainingAccuracy: Double
        /// Mean cross-entropy and accuracy on the validation images; nil if there are none.
        var validationLoss: Double?
        var validationAccuracy: Double?
        /// The same of the test images, which decide nothing.
        var testLoss: Double
        var testAccuracy: Double
        /// Time that it took.
        var seconds: Double
    }

    /// The network before the first step, on the test images.
    var testAccuracyBefore: Double?
    /// The epochs so far.
    var epochs: [Epoch] = []

    /// The first epoch with the greatest validation accuracy; nil without validation images.
    var bestByValidation: Epoch? {
        var best: Epoch?
        for epoch in epochs {
            guard let accuracy = epoch.validationAccuracy else { continue }
            if accuracy > best?.validationAccuracy ?? -1 { best = epoch }
        }
        return best
    }

    /// A table with a header line.
    var csv: String {
        let header =
            "epoch,learning_rate,training_loss,training_accuracy,validation_loss,validation_accuracy,test_loss,"
            + "test_accuracy,seconds\n"
        func text(_ value: Double?) -> String { value.map { String(format: "%.6g", $0) } ?? "" }
        return header
            + epochs.map { epoch in
                [
                    String(epoch.epoch), text(Double(epoch.learningRate)), text(epoch.trainingLoss),
                    text(epoch.trainingAccuracy), text(epoch.validationLoss), text(epoch.validationAccuracy),
                    text(epoch.testLoss), text(epoch.testAccuracy), text(epoch.seconds),
                ].joined(separator: ",") + "\n"
            }.joined()
    }
}
