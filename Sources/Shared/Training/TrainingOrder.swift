/// What a coordinator that trains says to a worker, besides ``CoordinatorMessage``'s `chunk`, `introduce`, `heartbeat`,
/// `dismissed` and `finished`, which mean the same here.
public enum TrainingOrder: Sendable, Equatable {
    /// The answer to a hello: what is trained.
    case welcome(TrainingWelcome)
    /// A part of the parameters and statistics of a version, in the order of ``ParameterLayout``.
    case parameters(FloatsPart)
    /// Something to compute.
    case task(TrainingTask)
}

/// What a worker must know of a training.
public struct TrainingWelcome: Sendable, Equatable {
    /// The training, drawn once at random at every start of the coordinator.
    public var run: RunID
    /// The network as it was before training; its architecture counts.
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

    /// Makes a welcome.
    public init(
        run: RunID, network: CoordinatorMessage.Blob, teacher: CoordinatorMessage.Blob?,
        trainingImages: CoordinatorMessage.Blob, testImages: CoordinatorMessage.Blob, normalisation: Normalisation,
        loss: TrainingLoss, shardSize: Int, precision: TrainingPrecision, cutout: Int, mirrors: Bool
    ) {
        self.run = run
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
    }

    /// The blobs that a worker needs, each once.
    public var blobs: [CoordinatorMessage.Blob] {
        var blobs = [network]
        for blob in [teacher, trainingImages, testImages] {
            if let blob, !blobs.contains(blob) { blobs.append(blob) }
        }
        return blobs
    }
}

/// A part of a long row of floats.
public struct FloatsPart: Sendable, Equatable {
    /// The most floats of a part.
    public static let floatsMax = 128 << 10
    /// The most floats of a whole row; parameters of a network and gradients are bounded by it.
    public static let totalMax = Checkpoint.parametersMax

    /// What the row belongs to: a version of the parameters, or a task.
    public var subject: UInt64
    /// Floats of the whole row.
    public var total: Int
    /// The first float of this part.
    public var offset: Int
    /// The floats of this part.
    public var floats: [Float]

    /// Makes a part.
    public init(subject: UInt64, total: Int, offset: Int, floats: [Float]) {
        self.subject = subject
        self.total = total
        self.offset = offset
        self.floats = floats
    }

    /// The parts of a row.
    public static func parts(of row: [Float], subject: UInt64) -> [FloatsPart] {
        precondition(row.count <= totalMax, "a bounded row")
        return stride(from: 0, to: row.count, by: floatsMax).map { offset in
            FloatsPart(
                subject: subject, total: row.count, offset: offset,
                floats: Array(row[offset..<min(offset + floatsMax, row.count)]))
        }
    }
}

/// Puts the parts of one row together, in order; memory is taken only for what has arrived.
public struct FloatsAssembly: Sendable {
    /// What the row belongs to.
    public let subject: UInt64
    private let total: Int
    private var floats: [Float] = []

    /// Begins with the first part; nil where it is not the first or the row has not the expected length.
    public init?(_ first: FloatsPart, expected: Int) {
        guard first.offset == 0, first.total == expected else { return nil }
        subject = first.subject
        total = expected
        guard append(first) else { return nil }
    }

    /// Adds the next part. Returns false where it is not the next.
    public mutating func append(_ part: FloatsPart) -> Bool {
        guard part.subject == subject, part.total == total, part.offset == floats.count,
            floats.count + part.floats.count <= total
        else { return false }
        floats += part.floats
        return true
    }

    /// The whole row, or nil where parts are missing.
    public var row: [Float]? { floats.count == total ? floats : nil }
}

/// Something to compute.
public struct TrainingTask: Sendable, Equatable {
    /// What is computed.
    public enum Work: Sendable, Hashable {
        /// A shard's gradient.
        case gradient(TrainingShard)
        /// The loss of images as they are, with running statistics.
        case evaluation(EvaluationSettings.Split, Range<Int>)
    }

    /// Its number, of which no two in a training are equal.
    public var number: UInt64
    /// The version of the parameters that it is computed with.
    public var version: UInt64
    /// What is computed.
    public var work: Work

    /// Makes a task.
    public init(number: UInt64, version: UInt64, work: Work) {
        self.number = number
        self.version = version
        self.work = work
    }
}

/// What a worker says to a coordinator that trains, besides ``WorkerMessage``'s `hello`, `want`, `ready`, `heartbeat` and
/// `goodbye`.
public enum TrainingAnswer: Sendable, Equatable {
    /// A part of a shard's gradient followed by its statistics.
    case gradient(FloatsPart)
    /// The rest of a shard's answer, after all parts.
    case shardDone(task: UInt64, lossSum: Double, correct: Int, images: Int)
    /// The answer to an evaluation.
    case evaluated(task: UInt64, Evaluation)
    /// A task that could not be computed.
    case failed(task: UInt64, reason: String)
}
