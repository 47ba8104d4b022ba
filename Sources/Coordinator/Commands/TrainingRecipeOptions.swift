import Foundation
import Shared

/// The options that say how a step of a training is made; `train`, `finetune` and `compress` share them.
struct TrainingRecipeOptions {
    @Option(
        "Values for the options that are not given: quick (6 epochs, 2 between rounds) or full (66 epochs, 10 between "
            + "rounds, 4 shards, --cutout 8); both with --nesterov and --distill-weight 0.8.", name: "recipe",
        value: "NAME") var named: TrainingRecipe?
    @Option("Images of a step.", value: "N") var batchSize: Int = 128
    @Option(
        "Shares of a step, which workers compute at the same time, each with batch-norm statistics of its own. The result "
            + "depends on it, but not on who computes them.", value: "N")
    var shards: Int = 2
    @Option("The greatest learning rate.", value: "RATE") var learningRate: Double = 0.05
    @Option(
        "How the learning rate falls: cosine (to zero) or step (to a tenth after half of the epochs, a hundredth after "
            + "three quarters).", value: "FORM")
    var schedule: LearningRateSchedule.Form = .cosine
    @Option("Epochs in which the learning rate rises to its greatest value.", value: "N") var warmUp: Double = 1
    @Option("The momentum.", value: "M") var momentum: Double = 0.9
    @Flag("Use Nesterov's momentum.") var nesterov: Bool
    @Option("The weight decay.", value: "D") var weightDecay: Double = 5e-4
    @Flag("Let scales and shifts of batch normalisations decay too.") var decayNormalisation: Bool
    @Option("The share of a label that is spread over all classes.", value: "S") var labelSmoothing: Double = 0
    @Option("The temperature of the distillation.", value: "T") var distillTemperature: Double = 4
    @Option("The share of the distillation in the loss, 0 to 1.", value: "W") var distillWeight: Double = 0.7
    @Flag("Train on the images as they are, neither cropped nor mirrored.") var noAugmentation: Bool
    @Flag("Mirror no training images, as digits and letters never are.") var noMirroring: Bool
    @Option(
        "Hide a square of N by N pixels at a random place of every training image (cutout); 0 hides nothing.",
        value: "N")
    var cutout: Int = 0
    @Option(
        "What convolutions multiply: float32, or bfloat16 for processors that are faster at it (sums, parameters and "
            + "everything else stay float32).", value: "FORMAT")
    var precision: TrainingPrecision = .float32
    @Option(
        "Keep the last N training images out of training, to see how well others are recognised.", value: "N")
    var validationImages: Int = 0

    /// The settings of a training. Throws a `.usage` ``Failure``.
    func settings(epochs: Int, seed: UInt64, distills: Bool) throws -> TrainingSettings {
        var settings = TrainingSettings()
        settings.epochs = epochs
        settings.batchSize = batchSize
        settings.shards = shards
        settings.schedule = LearningRateSchedule(
            form: schedule, peak: Float(learningRate), warmUpEpochs: min(warmUp, Double(epochs) / 2))
        settings.optimizer = MomentumOptimizer.Settings(
            momentum: Float(momentum), nesterov: nesterov, weightDecay: Float(weightDecay),
            decaysNormalisation: decayNormalisation)
        settings.loss = TrainingLoss(labelSmoothing: Float(labelSmoothing))
        if distills {
            settings.loss.distillation = TrainingLoss.Distillation(
                temperature: Float(distillTemperature), weight: Float(distillWeight))
        }
        settings.seed = seed
        settings.augments = !noAugmentation
        settings.cutout = cutout
        settings.precision = precision
        settings.validationImages = validationImages
        try settings.validate()
        return settings
    }
}

extension LearningRateSchedule.Form: ArgumentValue {}
