import Shared

/// The options that decide how a mask is evaluated.
struct EvaluationOptions {
    /// The ways to get batch-norm statistics.
    enum BatchNorm: String, CaseIterable, ArgumentValue {
        case frozen
        case recalibrated
    }

    @Option("The folder of the CIFAR-10 binary batches.", value: "DIR") var data: String
    @Option(
        "Which images the masks are evaluated on; the ranking should not see the test images.", value: "SPLIT")
    var split: EvaluationSettings.Split = .train
    @Option("How many images: the first N records of the split.", value: "N") var images: Int = 1000
    @Option(
        "Where batch-norm statistics come from: frozen (the checkpoint) or recalibrated (training images, as the masked "
            + "network sees them).", value: "MODE") var batchnorm: BatchNorm = .recalibrated
    @Option("How many images recalibrate: the first N training images.", value: "N") var calibrationImages: Int = 256
    @Option("The mean of each channel, after scaling pixels to 0…1.", value: "R,G,B")
    var mean: String = "0.485,0.456,0.406"
    @Option("The standard deviation of each channel.", value: "R,G,B") var deviation: String = "0.229,0.224,0.225"

    /// The settings. Throws a `.usage` ``Failure``.
    func settings() throws -> EvaluationSettings {
        guard (1...Evaluation.imagesMax).contains(images) else {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        let deviation = try channels(deviation, "--deviation")
        guard deviation.allSatisfy({ $0 > 0 }) else { throw Failure(.usage, "--deviation must be positive") }
        return EvaluationSettings(
            split: split, images: images,
            batchNorm: batchnorm == .frozen ? .frozen : .recalibrated(images: calibrationImages),
            normalisation: Normalisation(mean: try channels(mean, "--mean"), deviation: deviation))
    }

    private func channels(_ text: String, _ option: String) throws -> [Float] {
        let values = text.split(separator: ",", omittingEmptySubsequences: false).map { Float($0) }
        guard values.count == ImageSet.channels, values.allSatisfy({ $0?.isFinite == true }) else {
            throw Failure(.usage, "\(option) must be three numbers, such as 0.5,0.5,0.5, not '\(text)'")
        }
        return values.compactMap { $0 }
    }
}
