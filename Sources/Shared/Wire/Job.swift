/// Work for a worker. Its result follows from the job and the welcome alone, so it does not matter who computes it, or
/// how often.
public enum Job: Sendable, Equatable {
    /// Evaluate masks, by their indices in the ensemble.
    case masks(MaskRuns)
    /// A share of a training step, with a version of the parameters.
    case step(Step, version: UInt64)

    /// A share of a training step.
    public enum Step: Sendable, Hashable {
        /// A shard's gradient and the statistics of its batch.
        case gradient(TrainingShard)
        /// The loss of images as they are, with running statistics.
        case evaluation(EvaluationSettings.Split, Range<Int>)
    }

    /// The version of the parameters that it needs; nil for none.
    public var version: UInt64? {
        switch self {
        case .masks: nil
        case .step(_, let version): version
        }
    }

    /// The masks; empty for other jobs.
    public var masks: MaskRuns {
        if case .masks(let masks) = self { masks } else { MaskRuns() }
    }
}

/// The result of a ``Job``, without the row of numbers that is sent before it in parts.
public enum JobResult: Sendable, Equatable {
    /// One per evaluated mask.
    case masks([MaskEvaluation])
    /// The rest of a shard's contribution: the row is its gradient followed by its statistics.
    case gradient(lossSum: Double, correct: Int, images: Int)
    /// The evaluation of images.
    case evaluation(Evaluation)
}

/// What a worker of a run of masks must know.
public struct MaskWork: Sendable, Equatable {
    /// How masks are evaluated.
    public var settings: EvaluationSettings
    /// The network's checkpoint.
    public var network: CoordinatorMessage.Blob
    /// The images that are evaluated.
    public var images: CoordinatorMessage.Blob
    /// The images to recalibrate batch norms with, if different.
    public var calibrationImages: CoordinatorMessage.Blob?
    /// Filters of the network: bits of a mask.
    public var filters: Int
    /// Masks of the run.
    public var masks: Int
    /// The ensemble's description as JSON, of which every mask follows from its index.
    public var ensemble: [UInt8]
    /// The masks' digest (``Ensemble/sample``), to check that both sides draw the same.
    public var sample: Digest

    /// What a worker of a run of masks must know.
    public init(
        settings: EvaluationSettings, network: CoordinatorMessage.Blob, images: CoordinatorMessage.Blob,
        calibrationImages: CoordinatorMessage.Blob? = nil, filters: Int, masks: Int, ensemble: [UInt8], sample: Digest
    ) {
        self.settings = settings
        self.network = network
        self.images = images
        self.calibrationImages = calibrationImages
        self.filters = filters
        self.masks = masks
        self.ensemble = ensemble
        self.sample = sample
    }
}

/// What a worker of a training must know.
public struct TrainingWork: Sendable, Equatable {
    /// The network before training; only its graph matters.
    public var network: CoordinatorMessage.Blob
    /// The teacher, with distillation.
    public var teacher: CoordinatorMessage.Blob?
    /// The images of the training split.
    public var trainingImages: CoordinatorMessage.Blob
    /// The images of the test split.
    public var testImages: CoordinatorMessage.Blob
    /// How pixels become inputs.
    public var normalisation: Normalisation
    /// The minimised loss.
    public var loss: TrainingLoss
    /// Images of every shard.
    public var shardSize: Int
    /// What convolutions multiply.
    public var precision: TrainingPrecision
    /// Side of the square to hide in augmented images; 0 for none.
    public var cutout: Int
    /// Whether half of the augmented images are mirrored.
    public var mirrors: Bool
    /// Floats of the parameters and of the running statistics, in the order of ``ParameterLayout``.
    public var rowCount: Int

    /// What a worker of a training must know.
    public init(
        network: CoordinatorMessage.Blob, teacher: CoordinatorMessage.Blob?,
        trainingImages: CoordinatorMessage.Blob, testImages: CoordinatorMessage.Blob, normalisation: Normalisation,
        loss: TrainingLoss, shardSize: Int, precision: TrainingPrecision, cutout: Int, mirrors: Bool, rowCount: Int
    ) {
        self.network = network
        self.teacher = teacher
        self.trainingImages = trainingImages
        self.testImages = testImages
        self.normalisation = normalisation
        self.loss = loss
        self.shardSize = shardSize
        self.precision = precision
        self.cutout = cutout
        self.mirrors = mirrors
        self.rowCount = rowCount
    }
}
