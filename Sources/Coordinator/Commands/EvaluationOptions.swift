import Shared

/// The options that decide how a mask is evaluated.
struct EvaluationOptions {
    @Option("Labelled images: a folder or file in a form that docs/images.md lists.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    /// Images for each mask where groups of masks have their own.
    static let imagesPerMaskDefault = 512
    /// Images of the masks of a design that compares all of them with one another, so that all must see the same.
    static let sharedImagesDefault = 4096
    /// The pool that is kept in memory by the coordinator and every worker, where its size is not given.
    private static let poolBytesMax = 256 << 20
    /// Pixels count for a channel's statistics, so fewer of larger images do; their activations must all be in memory.
    private static func calibrationDefault(_ shape: Shape) -> Int { min(256, max(16, 256 * 1024 / shape.pixels)) }

    @Option(
        "The images that masks are evaluated on: the first N records of the split. With --images-per-mask they are a pool; "
            + "without, every mask sees all of them, and the ranking is for these images only. By default a pool of all "
            + "images that fit into \(poolBytesMax >> 20) MB.", value: "N") var images: Int?
    @Option(
        "How many images of the pool each mask is evaluated on. Every group of neighbouring masks has its own, drawn from "
            + "the seed. By default \(imagesPerMaskDefault), or all where there are fewer.", value: "N")
    var imagesPerMask: Int?
    @Option(
        "Where batch-norm statistics come from: frozen (the checkpoint), recalibrated (training images, as the masked "
            + "network sees them) or corrected (the checkpoint, corrected by how the mask changes those of training "
            + "images).", value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .corrected
    @Option(
        "How many images recalibrate or correct: the first N of a mask's own, or, where all masks see the same or test "
            + "images, the first N training images. By default 256, of images larger than 32 × 32 fewer, down to 16; or "
            + "all where there are fewer.",
        value: "N") var calibrationImages: Int?
    @Option(
        "What masked networks are compared with: given (the images' labels) or network (the unmasked network's answers, by "
            + "the Kullback-Leibler divergence; labels are not looked at).", value: "SOURCE")
    var labels: EvaluationSettings.Labels = .given
    @OptionGroup var normalisation = NormalisationOptions()
    @OptionGroup var recognition = RecognitionOptions()

    /// Complains of numbers that cannot be. Throws a `.usage` ``Failure``.
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
            throw Failure(.usage, "--images-per-mask \(imagesPerMask) are more than --images \(images)")
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

    /// The settings for images of a split, of which no more than `limit` may be, that a network sees under the masks of an
    /// ensemble. Throws a ``Failure`` where there are none.
    func settings(
        split: EvaluationSettings.Split, of data: DataSet, for network: Network, masks ensemble: Ensemble,
        atMost limit: Int = .max
    ) throws -> EvaluationSettings {
        let available = min(try data.count(split), limit)
        if let images, images > limit {
            throw Failure(
                .usage,
                "--images \(images) are more than the \(limit) training images that are not kept out of training")
        }
        var settings = EvaluationSettings(
            split: split, images: 0,
            batchNorm: .init(batchnorm, images: min(try calibrationCount(split: split, of: data), limit)),
            normalisation: try normalisation.normalisation(for: data, of: network), labels: labels)
        if ensemble.design.comparesAllMasks {
            guard imagesPerMask == nil else {
                throw Failure(
                    .usage,
                    "--design \(ensemble.design.name) compares every mask with every other, so all must see the same images; "
                        + "give --images instead of --images-per-mask")
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
                "a mask needs \(settings.imagesTaken) images and the pool has \(pool); give fewer --images-per-mask or "
                    + "--calibration-images")
        }
        return settings
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
