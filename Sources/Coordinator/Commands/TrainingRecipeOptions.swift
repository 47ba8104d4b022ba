import Foundation
import Shared

/// The options on a training's steps, shared by `train`, `finetune` and `compress`.
struct TrainingRecipeOptions {
    @Option(
        "Preset for options you don't give: quick (6 epochs, 2 between rounds) or full (66 epochs, 10 between "
            + "rounds, 4 shards, --cutout 8); both use --nesterov and --distill-weight 0.8.", name: "recipe",
        value: "NAME") var named: TrainingRecipe?
    @Option("Images per step.", value: "N") var batchSize: Int = 128
    @Option(
        "Shares of a step that workers compute in parallel, each with its own batch-norm statistics. The "
            + "result depends on this number, not on which worker computes which share.", value: "N")
    var shards: Int = 2
    @Option("Peak learning rate.", value: "RATE") var learningRate: Double = 0.05
    @Option(
        "Learning-rate schedule: cosine (to zero) or step (to a tenth after half of the epochs, a hundredth "
            + "after three quarters).", value: "FORM")
    var schedule: LearningRateSchedule.Form = .cosine
    @Option("Epochs until the learning rate reaches its peak.", value: "N") var warmUp: Double = 1
    @Option("The momentum.", value: "M") var momentum: Double = 0.9
    @Flag("Use Nesterov momentum.") var nesterov: Bool
    @Option("Weight decay.", value: "D") var weightDecay: Double = 5e-4
    @Flag("Apply weight decay to batch-norm scales and shifts too.") var decayNormalisation: Bool
    @Option("Share of the label that is spread over all classes.", value: "S") var labelSmoothing: Double = 0
    @Option("Distillation temperature.", value: "T") var distillTemperature: Double = 4
    @Option("Weight of distillation in the loss, 0 to 1.", value: "W") var distillWeight: Double = 0.7
    @Flag("Train on unmodified images, neither cropped nor mirrored.") var noAugmentation: Bool
    @Flag("Do not mirror training images. Digits and letters never are.") var noMirroring: Bool
    @Option(
        "Blank an N by N pixel square at a random place in every training image (cutout); 0 for none.",
        value: "N")
    var cutout: Int = 0
    @Option(
        "Number format of convolution inputs: float32, or bfloat16 on processors where it is faster (sums, "
            + "parameters and all else stay float32).", value: "FORMAT")
    var precision: TrainingPrecision = .float32
    @Option(
        "Hold the last N training images out, to measure validation accuracy.", value: "N")
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
