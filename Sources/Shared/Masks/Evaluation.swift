/// The loss of a network under one mask: cross-entropy with the images' labels, or divergence from the unmasked network's
/// answers (``EvaluationSettings/Labels``).
///
/// Losses of images are summed as 64-bit fixed-point numbers, so that the sum is the same bits in whatever order and
/// parts it was formed.
public struct Evaluation: Sendable, Hashable {
    /// Units of ``lossSum`` in one nat: 2^32.
    public static let unitsPerNat = 4_294_967_296.0
    /// The largest loss of one image, in nats; a larger one is counted as this. 2^14 nats × 2^17 images still fit.
    public static let imageLossMax = 16_384.0
    /// The most images that an evaluation may count without its sum overflowing.
    public static let imagesMax = 131_071

    /// The sum of the images' losses, in 2^-32 nats.
    public var lossSum: Int64
    /// Images whose largest output is their label, or the unmasked network's.
    public var correct: Int
    /// Images evaluated.
    public var images: Int

    /// Makes an evaluation.
    public init(lossSum: Int64 = 0, correct: Int = 0, images: Int = 0) {
        self.lossSum = lossSum
        self.correct = correct
        self.images = images
    }

    /// The mean loss in nats.
    public var loss: Double { Double(lossSum) / Self.unitsPerNat / Double(max(images, 1)) }

    /// Whether so many images can have so many right ones and so great a loss.
    public var isPossible: Bool {
        (0...Self.imagesMax).contains(images) && (0...images).contains(correct) && lossSum >= 0
            && Double(lossSum) <= Double(images) * Self.imageLossMax * Self.unitsPerNat
    }

    /// The evaluation of both sets of images. Of more than ``imagesMax`` images the sum of the losses ends at the
    /// largest number that there is.
    public static func + (a: Evaluation, b: Evaluation) -> Evaluation {
        let (sum, overflows) = a.lossSum.addingReportingOverflow(b.lossSum)
        return Evaluation(
            lossSum: overflows ? .max : sum, correct: a.correct + b.correct, images: a.images + b.images)
    }
}

/// Everything that decides a mask's loss besides the network and the mask.
public struct EvaluationSettings: Sendable, Hashable, Codable {
    /// Which images are evaluated.
    public enum Split: String, Sendable, Codable, CaseIterable {
        case test
        case train
    }

    /// Where the statistics of the batch normalisations come from.
    public enum BatchNorm: Sendable, Hashable, Codable {
        /// The checkpoint's running statistics.
        case frozen
        /// The first images of the training batches, as the masked network sees them, layer by layer.
        case recalibrated(images: Int)
        /// The checkpoint's running statistics, corrected by how the mask changes those of the first images of the
        /// training batches, layer by layer: without a mask they are the checkpoint's.
        case corrected(images: Int)

        /// The ways without their number of images, as options name them.
        public enum Source: String, Sendable, CaseIterable {
            case frozen
            case recalibrated
            case corrected
        }

        /// A way, with the images that it takes.
        public init(_ source: Source, images: Int) {
            switch source {
            case .frozen: self = .frozen
            case .recalibrated: self = .recalibrated(images: images)
            case .corrected: self = .corrected(images: images)
            }
        }

        /// Which of the ways it is.
        public var source: Source {
            switch self {
            case .frozen: .frozen
            case .recalibrated: .recalibrated
            case .corrected: .corrected
            }
        }

        /// The training images that it takes, the first ones; nil where it takes none.
        public var calibrationImages: Int? {
            switch self {
            case .frozen: nil
            case .recalibrated(let images), .corrected(let images): images
            }
        }
    }

    /// What a masked network's outputs are compared with.
    public enum Labels: String, Sendable, Codable, CaseIterable {
        /// The images' labels: a loss is a cross-entropy.
        case given
        /// The unmasked network's answers p: a loss is the Kullback-Leibler divergence Σ p (ln p − ln q) of the masked
        /// network's answers q.
        case network

        /// What the mean over the images is called.
        public var lossName: String {
            switch self {
            case .given: "mean cross-entropy"
            case .network: "mean divergence from the unmasked network's outputs"
            }
        }
    }

    /// Which images are evaluated.
    public var split: Split
    /// How many of them every mask is evaluated on: the first records of the split, unless images rotate.
    public var images: Int
    /// Where batch-norm statistics come from.
    public var batchNorm: BatchNorm
    /// How pixels become inputs.
    public var normalisation: Normalisation
    /// What outputs are compared with; nil, as in files of earlier releases, for the images' labels.
    private var answers: Labels?

    /// What outputs are compared with.
    public var labels: Labels {
        get { answers ?? .given }
        set { answers = newValue == .given ? nil : newValue }
    }

    private enum CodingKeys: String, CodingKey {
        case split, images, batchNorm, normalisation, rotation
        case answers = "labels"
    }
    /// Which images each mask is evaluated on, where groups of masks have their own; nil where all share the first ones.
    public var rotation: ImageRotation?

    /// Makes settings.
    public init(
        split: Split, images: Int, batchNorm: BatchNorm, normalisation: Normalisation = .standard,
        labels: Labels = .given,
        rotation: ImageRotation? = nil
    ) {
        self.split = split
        self.images = images
        self.batchNorm = batchNorm
        self.normalisation = normalisation
        self.labels = labels
        self.rotation = rotation
    }

    /// The first records of the split that masks may be evaluated on.
    public var pool: Int { rotation?.pool ?? images }

    /// Whether the images that batch norms are calibrated with are the first ones of those that a mask is evaluated on,
    /// rather than the first training images for every mask. Test images calibrate nothing.
    public var calibratesOnOwnImages: Bool { rotation != nil && split == .train }

    /// The images that a mask takes from the pool: those that it is evaluated on and those that calibrate.
    public var imagesTaken: Int {
        calibratesOnOwnImages ? max(images, batchNorm.calibrationImages ?? 0) : images
    }

    /// The numbers in the pool of the images of a group of masks, ``imagesTaken`` of them. The first are evaluated, and
    /// the first calibrate.
    public func images(ofGroup group: Int) -> [Int] {
        rotation?.images(ofGroup: group, count: imagesTaken) ?? Array(0..<images)
    }

    /// The most images that a network is measured on by ``measuring``.
    public static let measuredMax = 4096

    /// The settings for networks that are measured once each, rather than compared under many masks: all on the same
    /// images of the pool, and more of them.
    public var measuring: EvaluationSettings {
        var settings = self
        settings.images = max(images, min(pool, Self.measuredMax))
        settings.rotation = nil
        return settings
    }

    /// Whether the settings say of masks of an ensemble what can be so.
    public func fits(_ ensemble: Ensemble) -> Bool {
        (1...Evaluation.imagesMax).contains(images) && rotation?.fits(ensemble, images: imagesTaken) ?? true
    }
}
