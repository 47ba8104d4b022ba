/// A network's loss under one mask: cross-entropy with the images' labels, or divergence from the unmasked network's
/// outputs (``EvaluationSettings/Labels``).
///
/// Losses of images are summed as 64-bit fixed-point numbers, so the sum has the same bits in any order and split.
public struct Evaluation: Sendable, Hashable {
    /// Units of ``lossSum`` in one nat: 2^32.
    public static let unitsPerNat = 4_294_967_296.0
    /// The largest loss of one image, in nats; larger ones count as this. 2^14 nats × 2^17 images still fit.
    public static let imageLossMax = 16_384.0
    /// The most images that an evaluation may count without overflow of its sum.
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

    /// Whether this many images can have this many correct ones and this loss.
    public var isPossible: Bool {
        (0...Self.imagesMax).contains(images) && (0...images).contains(correct) && lossSum >= 0
            && Double(lossSum) <= Double(images) * Self.imageLossMax * Self.unitsPerNat
    }

    /// The evaluation of both sets of images. Beyond ``imagesMax`` images the sum of the losses saturates.
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

    /// The source of batch-norm statistics.
    public enum BatchNorm: Sendable, Hashable, Codable {
        /// The checkpoint's running statistics.
        case frozen
        /// The first training images, as the masked network sees them, layer by layer.
        case recalibrated(images: Int)
        /// The checkpoint's running statistics, corrected by how the mask changes those of the first training images,
        /// layer by layer: without a mask they are the checkpoint's.
        case corrected(images: Int)

        /// The ways without their number of images, as options name them.
        public enum Source: String, Sendable, CaseIterable {
            case frozen
            case recalibrated
            case corrected
        }

        /// A source, with its number of images.
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

        /// The number of training images it uses, the first ones; nil if it uses none.
        public var calibrationImages: Int? {
            switch self {
            case .frozen: nil
            case .recalibrated(let images), .corrected(let images): images
            }
        }
    }

    /// What to compare a masked network's outputs with.
    public enum Labels: String, Sendable, Codable, CaseIterable {
        /// The images' labels: a loss is a cross-entropy.
        case given
        /// The unmasked network's outputs p: a loss is the Kullback-Leibler divergence Σ p (ln p − ln q) of the masked
        /// network's outputs q.
        case network

        /// The name of the mean over the images.
        public var lossName: String {
            switch self {
            case .given: "mean cross-entropy"
            case .network: "mean divergence from the unmasked network's outputs"
            }
        }
    }

    /// Which images are evaluated.
    public var split: Split
    /// How many of them to evaluate every mask on: the first records of the split, unless images rotate.
    public var images: Int
    /// Where batch-norm statistics come from.
    public var batchNorm: BatchNorm
    /// How pixels become inputs.
    public var normalisation: Normalisation
    /// What to compare outputs with; nil, as in files of earlier releases, for the images' labels.
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
    /// Which images to evaluate each mask on, if groups of masks have their own; nil if all share the first ones.
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

    /// Whether batch norms are calibrated with the first of a mask's own evaluation images, rather than with the first
    /// training images for every mask. Test images never calibrate.
    public var calibratesOnOwnImages: Bool { rotation != nil && split == .train }

    /// The images that a mask takes from the pool, for evaluation and calibration.
    public var imagesTaken: Int {
        calibratesOnOwnImages ? max(images, batchNorm.calibrationImages ?? 0) : images
    }

    /// The numbers of a group's images in the pool, ``imagesTaken`` of them. The first are evaluated, and the first
    /// calibrate.
    public func images(ofGroup group: Int) -> [Int] {
        rotation?.images(ofGroup: group, count: imagesTaken) ?? Array(0..<images)
    }

    /// The most images that ``measuring`` uses for a network.
    public static let measuredMax = 4096

    /// The settings for measuring a few networks once each, rather than comparing many masks: all on the same images of
    /// the pool, and more of them.
    public var measuring: EvaluationSettings {
        var settings = self
        settings.images = max(images, min(pool, Self.measuredMax))
        settings.rotation = nil
        return settings
    }

    /// Whether the settings are possible for an ensemble's masks.
    public func fits(_ ensemble: Ensemble) -> Bool {
        (1...Evaluation.imagesMax).contains(images) && rotation?.fits(ensemble, images: imagesTaken) ?? true
    }
}
