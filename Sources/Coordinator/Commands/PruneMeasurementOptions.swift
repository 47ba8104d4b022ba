import Foundation
import Shared

/// What of a pruned network is measured, by `winnow-worker` on real images.
struct PruneMeasurementOptions {
    /// CIFAR-10's.
    private static let trainingImages = 50_000

    @Option("CIFAR-10 images, to measure the pruned network and to recalibrate it.", value: "FOLDER")
    var data: String?
    @Flag("Write the batch-norm statistics of training images, as the pruned network sees them, into the files.")
    var recalibrate
    @Option("The training images that batch norms are recalibrated with.", value: "N") var calibrationImages: Int = 1000
    @Option("Which images the loss is measured on: the run's, or test or train.", value: "SPLIT")
    var split: EvaluationSettings.Split?
    @Option("How many images the loss is measured on: the run's number, or 1000.", value: "N") var images: Int?
    @Option("Compute threads of winnow-worker.", value: "N") var threads: Int?

    func validate() throws {
        if recalibrate && data == nil { throw Failure(.usage, "--recalibrate needs --data") }
        guard (1...Self.trainingImages).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Self.trainingImages)")
        }
        if let images, !(1...Evaluation.imagesMax).contains(images) {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
    }

    /// Where gradients on the training images come from.
    func gradients(images: Int, normalisation: Normalisation) throws -> GradientSource {
        guard let data else { throw Failure(.usage, "gradients need --data") }
        return GradientSource(
            worker: try WorkerProcess.find(threads: threads), data: data, images: images, normalisation: normalisation)
    }

    /// The network of a file with the statistics of training images, which replace those in the file.
    func recalibrated(_ path: String, normalisation: Normalisation) throws -> Network {
        guard let data else { throw Failure(.usage, "--recalibrate needs --data") }
        try WorkerProcess.find(threads: threads).recalibrate(
            path, data: data, images: calibrationImages, normalisation: normalisation, output: path)
        return try Checkpoint.network(at: path)
    }

    /// Measures the network of a file, and how much faster it is than the unpruned one, where there are images.
    ///
    /// The loss is that of the run's images (without a run, training images) with the statistics in the file, and with
    /// those of training images taken for the measurement.
    func measure(
        _ path: String, unpruned: Network, settings runSettings: EvaluationSettings?,
        into record: inout PruningRecord
    ) throws {
        guard let data else { return }
        let worker = try WorkerProcess.find(threads: threads)
        var settings = runSettings ?? EvaluationSettings(split: .train, images: 1000, batchNorm: .frozen)
        if let split { settings.split = split }
        if let images { settings.images = images }
        settings.batchNorm = .frozen
        var written = try worker.evaluate(path, data: data, settings)
        if recalibrate { written.batchNorm = "written" }
        settings.batchNorm = .recalibrated(images: calibrationImages)
        record.measured = [written, try worker.evaluate(path, data: data, settings)]

        let before = FileManager.default.temporaryDirectory.appending(path: "winnow-unpruned-\(UUID()).safetensors")
        defer { try? FileManager.default.removeItem(at: before) }
        try PrunedFiles.write(Data(Checkpoint.safetensors(of: unpruned)), to: before.path)
        let speeds = try worker.speeds(of: [before.path, path])
        record.before.imagesPerSecond = speeds[0]
        record.after.imagesPerSecond = speeds[1]
    }
}
