import Shared

/// The options of an engine.
struct EngineOptions {
    @Option("Compute threads. By default all processors available to this process.", value: "N") var threads: Int?
    @Option(
        "Most memory for parameters, images and activations, in MB.", value: "MB") var memoryLimit: Int =
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

/// The options that choose batch-norm statistics.
struct BatchNormOptions {
    @Option(
        "Batch-norm statistics: frozen (the checkpoint's), recalibrated (the calibration images' under the "
            + "mask) or corrected (the checkpoint's, corrected by how the mask changes the calibration images' "
            + "statistics).", value: "SOURCE") var batchnorm: EvaluationSettings.BatchNorm.Source = .frozen
    @Option("How many calibration images: the first N training images, or the first N of each mask's own.", value: "N")
    var calibrationImages: Int = 256

    /// Makes the options with their defaults.
    init() {}

    /// The chosen settings. Throws a `.usage` ``Failure``.
    func batchNorm() throws -> EvaluationSettings.BatchNorm {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        return .init(batchnorm, images: calibrationImages)
    }
}
