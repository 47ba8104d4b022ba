import Shared

/// The options that decide how a mask is evaluated.
struct EvaluationOptions {
    @Option("The folder of the CIFAR-10 binary batches.", value: "DIR") var data: String
    @Option("How many images the masks are evaluated on: the first N records of the split.", value: "N")
    var images: Int = 1000
    @Option(
        "Where batch-norm statistics come from: frozen (the checkpoint), recalibrated (training images, as the masked "
            + "network sees them) or corrected (the checkpoint, corrected by how the mask changes those of training "
            + "images).", value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .recalibrated
    @Option("How many images recalibrate or correct: the first N training images.", value: "N")
    var calibrationImages: Int = 256
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
            batchNorm: .init(batchnorm, images: calibrationImages),
            normalisation: try normalisation.normalisation())
    }
}
