import Shared

/// The options of an engine.
struct EngineOptions {
    @Option("Compute threads. By default as many as this process may use processors.", value: "N") var threads: Int?
    @Option(
        "The most memory for parameters, images and activations, in MB.", value: "MB") var memoryLimit: Int =
            Engine.memoryBytesDefault >> 20

    /// Makes the options with their defaults.
    init() {}

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        guard (1...1024).contains(threadCount) else { throw Failure(.usage, "--threads must be from 1 to 1024") }
        guard (1...1 << 24).contains(memoryLimit) else {
            throw Failure(.usage, "--memory-limit must be from 1 to \(1 << 24) MB")
        }
    }

    /// Threads to compute on.
    var threadCount: Int { threads ?? CPUAllowance.processors }
    /// The memory limit in bytes.
    var memoryBytesMax: Int { memoryLimit << 20 }

    /// An engine for a network. Throws a ``Failure``.
    func engine(_ network: Network) throws -> Engine {
        try validate()
        return try Engine(network: network, threads: threadCount, memoryBytesMax: memoryBytesMax)
    }
}

/// The options that say where batch-norm statistics come from.
struct BatchNormOptions {
    @Option(
        "Where batch norms' statistics come from: frozen (the checkpoint), recalibrated (the calibration images, as "
            + "the masked network sees them) or corrected (the checkpoint, corrected by how the mask changes those of "
            + "the calibration images).", value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .frozen
    @Option("The calibration images: the first N training images, or the first N of those that masks name.", value: "N")
    var calibrationImages: Int = 256

    /// Makes the options with their defaults.
    init() {}

    /// What was chosen. Throws a `.usage` ``Failure``.
    func batchNorm() throws -> EvaluationSettings.BatchNorm {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        return .init(batchnorm, images: calibrationImages)
    }
}
