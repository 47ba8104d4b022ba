import Shared

/// The options that decide how a mask is evaluated.
struct EvaluationOptions {
    @Option("Labelled images: a folder or file in a form that docs/images.md lists.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    /// A ranking from few images ranks the filters for these images only: with 512 the pruned networks are 1 to 7 points
    /// less accurate (RESULTS.md).
    static let imagesDefault = 4096
    /// Pixels count for a channel's statistics, so fewer of larger images do; their activations must all be in memory.
    private static func calibrationDefault(_ shape: Shape) -> Int { min(256, max(16, 256 * 1024 / shape.pixels)) }

    @Option(
        "How many images the masks are evaluated on: the first N records of the split. By default \(imagesDefault), or "
            + "all where there are fewer.", value: "N") var images: Int?
    @Option(
        "Where batch-norm statistics come from: frozen (the checkpoint), recalibrated (training images, as the masked "
            + "network sees them) or corrected (the checkpoint, corrected by how the mask changes those of training "
            + "images).", value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .corrected
    @Option(
        "How many images recalibrate or correct: the first N training images (default: 256), of images larger than 32 × 32 "
            + "fewer, down to 16; or all where there are fewer.",
        value: "N") var calibrationImages: Int?
    @Option(
        "What masked networks are compared with: given (the images' labels) or network (the unmasked network's answers, by "
            + "the Kullback-Leibler divergence; labels are not looked at).", value: "SOURCE")
    var labels: EvaluationSettings.Labels = .given
    @OptionGroup var normalisation = NormalisationOptions()
    @OptionGroup var recognition = RecognitionOptions()

    /// Complains of numbers that cannot be. Throws a `.usage` ``Failure``.
    func validate() throws {
        if let images, !(1...Evaluation.imagesMax).contains(images) {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
        if let calibrationImages, !(1...Evaluation.imagesMax).contains(calibrationImages) {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisation.validate()
        try recognition.validate()
    }

    /// The images. Throws a `.badInput` ``Failure``.
    func dataSet() throws -> DataSet { try dataFormat.source(data).open() }

    /// The settings for images of a split that a network sees, of which no more than `limit` may be. Throws a ``Failure``
    /// where there are none.
    func settings(
        split: EvaluationSettings.Split, of data: DataSet, for network: Network, atMost limit: Int = .max
    ) throws -> EvaluationSettings {
        let images = try self.images ?? min(Self.imagesDefault, data.count(split), limit)
        guard images <= limit else {
            throw Failure(
                .usage,
                "--images \(images) are more than the \(limit) training images that are not kept out of training")
        }
        return EvaluationSettings(
            split: split, images: images,
            batchNorm: .init(batchnorm, images: min(try calibrationCount(split: split, of: data), limit)),
            normalisation: try normalisation.normalisation(for: data, of: network), labels: labels)
    }

    /// How many training images give statistics. Throws a ``Failure`` where none can.
    private func calibrationCount(split: EvaluationSettings.Split, of data: DataSet) throws -> Int {
        if batchnorm == .frozen { return 0 }
        if let calibrationImages { return calibrationImages }
        do {
            return try ImageSupply.count(
                Self.calibrationDefault(data.layout.shape), of: .train, in: data, to: "correct batch norms")
        } catch let failure as Failure where split == .test {
            throw Failure(
                failure.kind,
                "\(failure.description); training images are needed for the batch norms alone: --batchnorm frozen does "
                    + "without")
        }
    }
}
