import Shared

/// The options on how to evaluate a mask.
struct EvaluationOptions {
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    /// Images per mask if groups of masks have their own.
    static let imagesPerMaskDefault = 512
    /// Images for the masks of a design that compares all of them with each other, so all must see the same.
    static let sharedImagesDefault = 4096
    /// The default size of the pool, which the coordinator and every worker keep in memory.
    private static let poolBytesMax = 256 << 20
    /// A channel's statistics count pixels, so larger images need fewer; their activations must all be in memory.
    private static func calibrationDefault(_ shape: Shape) -> Int { min(256, max(16, 256 * 1024 / shape.pixels)) }

    @Option(
        "Evaluate masks on the first N records of the split. With --images-per-mask they are a pool to draw "
            + "from; without, every mask sees all of them, and the ranking holds for these images only. By default a "
            + "pool of all images that fit into \(poolBytesMax >> 20) MB.", value: "N") var images: Int?
    @Option(
        "How many images of the pool to evaluate each mask on. Each group of neighbouring masks gets its own "
            + "images, drawn from the seed. By default \(imagesPerMaskDefault), or all if there are fewer.", value: "N")
    var imagesPerMask: Int?
    @Option(
        "Batch-norm statistics: frozen (the checkpoint's), recalibrated (training images' under the mask) or "
            + "corrected (the checkpoint's, corrected by how the mask changes the training images' statistics).",
        value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .corrected
    @Option(
        "How many images recalibrate or correct: the first N of a mask's own, or the first N training images "
            + "if all masks see the same images or test images. By default 256, fewer (down to 16) for images larger "
            + "than 32 × 32, or all if there are fewer.",
        value: "N") var calibrationImages: Int?
    @Option(
        "What to compare masked networks with: given (the images' labels) or network (the unmasked network's "
            + "outputs, by Kullback-Leibler divergence, ignoring labels).", value: "SOURCE")
    var labels: EvaluationSettings.Labels = .given
    @OptionGroup var normalisation = NormalisationOptions()
    @OptionGroup var recognition = RecognitionOptions()

    /// Rejects impossible numbers. Throws a `.usage` ``Failure``.
    func validate() throws {
        // A pool may be larger than what one mask can see.
        let imagesMax = imagesPerMask == nil ? Evaluation.imagesMax : ImageSet.countMax
        if let images, !(1...imagesMax).contains(images) {
            throw Failure(.usage, "--images must be from 1 to \(imagesMax)")
        }
        if let imagesPerMask, !(1...Evaluation.imagesMax).contains(imagesPerMask) {
            throw Failure(.usage, "--images-per-mask must be from 1 to \(Evaluation.imagesMax)")
        }
        if let images, let imagesPerMask, imagesPerMask > images {
            throw Failure(.usage, "--images-per-mask \(imagesPerMask) is more than --images \(images)")
        }
        if let calibrationImages, !(1...Evaluation.imagesMax).contains(calibrationImages) {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisation.validate()
        try recognition.validate()
    }

    /// The images. Throws a `.badInput` ``Failure``.
    func dataSet() throws -> DataSet { try dataFormat.source(data).open(needsLabels: labels == .given) }

    /// The settings for a network under an ensemble's masks, on at most `limit` images of a split. Throws a ``Failure``
    /// if there are none.
    func settings(
        split: EvaluationSettings.Split, of data: DataSet, for network: Network, masks ensemble: Ensemble,
        atMost limit: Int = .max
    ) throws -> EvaluationSettings {
        let available = min(try data.count(split), limit)
        if let images, images > limit {
            throw Failure(
                .usage,
                "--images \(images) is more than the \(limit) training images that are not held out")
        }
        var settings = EvaluationSettings(
            split: split, images: 0,
            batchNorm: .init(batchnorm, images: min(try calibrationCount(split: split, of: data), limit)),
            normalisation: try normalisation.normalisation(for: data, of: network), labels: labels)
        if ensemble.design.comparesAllMasks {
            guard imagesPerMask == nil else {
                throw Failure(
                    .usage,
                    "--design \(ensemble.design.name) compares all masks with each other, so all must see the "
                        + "same images; give --images instead of --images-per-mask")
            }
            settings.images = images ?? min(Self.sharedImagesDefault, available)
            return settings
        }
        if let images, imagesPerMask == nil {
            settings.images = images
            return settings
        }
        let pool = images ?? min(available, max(1, Self.poolBytesMax / data.layout.imageBytes))
        settings.images = imagesPerMask ?? min(Self.imagesPerMaskDefault, pool)
        settings.rotation = ImageRotation(pool: pool, of: ensemble)
        guard settings.imagesTaken <= pool else {
            throw Failure(
                .usage,
                "a mask needs \(settings.imagesTaken) images and the pool has \(pool); lower --images-per-mask "
                    + "or --calibration-images")
        }
        return settings
    }

    /// How many training images give statistics. Throws a ``Failure`` if none can.
    private func calibrationCount(split: EvaluationSettings.Split, of data: DataSet) throws -> Int {
        if batchnorm == .frozen { return 0 }
        if let calibrationImages { return calibrationImages }
        do {
            return try ImageSupply.count(
                Self.calibrationDefault(data.layout.shape), of: .train, in: data, to: "correct batch norms")
        } catch let failure as Failure where split == .test {
            throw Failure(
                failure.kind,
                "\(failure.description); only batch norms need training images: --batchnorm frozen works without")
        }
    }
}
