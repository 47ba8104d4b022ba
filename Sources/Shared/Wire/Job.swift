/// Something that a worker computes. What comes of it follows from the job and from what the welcome names alone, so it
/// does not matter who computes it, or how often.
public enum Job: Sendable, Equatable {
    /// Evaluate masks, by their indices in the ensemble.
    case masks(MaskRuns)
    /// A share of a step, with a version of a training's parameters or one of several networks.
    case step(Step, version: UInt64)

    /// A share of a step.
    public enum Step: Sendable, Hashable {
        /// A shard's gradient and the statistics of its batch.
        case gradient(TrainingShard)
        /// The loss of images as they are, with running statistics.
        case evaluation(EvaluationSettings.Split, Range<Int>)
        /// A task about a network, whose checkpoint is a row of so many floats (``RowPart/row(of:)``).
        case network(NetworkTask, floats: Int)

        /// Which of the cases it is, tasks apart: shares of one kind take about equally long.
        public var kind: Int {
            switch self {
            case .gradient: 0
            case .evaluation: 1
            case .network(let task, _): 2 + task.kind
            }
        }
    }

    /// The version of the parameters or of the network that it needs; nil where it needs none.
    public var version: UInt64? {
        switch self {
        case .masks: nil
        case .step(_, let version): version
        }
    }

    /// The masks; none where it is about something else.
    public var masks: MaskRuns {
        if case .masks(let masks) = self { masks } else { MaskRuns() }
    }
}

/// What comes of a ``Job``, without the row of numbers that goes ahead of it in parts.
public enum JobResult: Sendable, Equatable {
    /// One for each mask that was evaluated.
    case masks([MaskEvaluation])
    /// The rest of a shard's contribution: the row is its gradient followed by its statistics.
    case gradient(lossSum: Double, correct: Int, images: Int)
    /// The evaluation of images.
    case evaluation(Evaluation)
    /// The row is all that came of it.
    case row
    /// Filters that were chosen.
    case filters(Mask)
}

/// What a worker of a run of masks must know.
public struct MaskWork: Sendable, Equatable {
    /// How masks are evaluated.
    public var settings: EvaluationSettings
    /// The network's checkpoint.
    public var network: CoordinatorMessage.Blob
    /// The images that are evaluated.
    public var images: CoordinatorMessage.Blob
    /// The images that batch norms are recalibrated with, where they are others.
    public var calibrationImages: CoordinatorMessage.Blob?
    /// Filters of the network: bits of a mask.
    public var filters: Int
    /// Masks of the run.
    public var masks: Int
    /// The ensemble's description as JSON, of which every mask follows from its index.
    public var ensemble: [UInt8]
    /// What the masks must be (``Ensemble/sample``), so that both sides draw the same.
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

/// What a worker must know that is given tasks about networks.
public struct NetworkWork: Sendable, Equatable {
    /// The most sets of images.
    public static let imageSetsMax = 16

    /// The sets of images that tasks name by their places here.
    public var imageSets: [CoordinatorMessage.Blob]
    /// How pixels become inputs.
    public var normalisation: Normalisation

    /// What a worker must know that is given tasks about networks.
    public init(imageSets: [CoordinatorMessage.Blob], normalisation: Normalisation) {
        self.imageSets = imageSets
        self.normalisation = normalisation
    }
}

/// What a worker of a training must know.
public struct TrainingWork: Sendable, Equatable {
    /// The network as it was before training; its graph counts.
    public var network: CoordinatorMessage.Blob
    /// The network that distillation learns from, where there is distillation.
    public var teacher: CoordinatorMessage.Blob?
    /// The images of the training split.
    public var trainingImages: CoordinatorMessage.Blob
    /// The images of the test split.
    public var testImages: CoordinatorMessage.Blob
    /// How pixels become inputs.
    public var normalisation: Normalisation
    /// What is minimised.
    public var loss: TrainingLoss
    /// Images of every shard.
    public var shardSize: Int
    /// What convolutions multiply.
    public var precision: TrainingPrecision
    /// Height and width of the square that is hidden in augmented images; 0 for none.
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
