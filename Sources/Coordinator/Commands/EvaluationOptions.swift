import Shared

/// The options that decide how a mask is evaluated.
struct EvaluationOptions {
    /// The ways to get batch-norm statistics.
    enum BatchNorm: String, CaseIterable, ArgumentValue {
        case frozen
        case recalibrated
    }

    @Option("The folder of the CIFAR-10 binary batches.", value: "DIR") var data: String
    @Option("How many images the masks are evaluated on: the first N records of the split.", value: "N")
    var images: Int = 1000
    @Option(
        "Where batch-norm statistics come from: frozen (the checkpoint) or recalibrated (training images, as the masked "
            + "network sees them).", value: "MODE") var batchnorm: BatchNorm = .recalibrated
    @Option("How many images recalibrate: the first N training images.", value: "N") var calibrationImages: Int = 256
    @OptionGroup var normalisation = NormalisationOptions()

    /// The settings for images of a split. Throws a `.usage` ``Failure``.
    func settings(split: EvaluationSettings.Split) throws -> EvaluationSettings {
        guard (1...Evaluation.imagesMax).contains(images) else {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        return EvaluationSettings(
            split: split, images: images,
            batchNorm: batchnorm == .frozen ? .frozen : .recalibrated(images: calibrationImages),
            normalisation: try normalisation.normalisation())
    }
}
