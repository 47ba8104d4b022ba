import Foundation
import Shared

/// What of a pruned network is measured, by `winnow-worker` on real images.
struct PruneMeasurementOptions {
    /// CIFAR-10's.
    private static let trainingImages = 50_000

    @Option("CIFAR-10 images, to measure the pruned network and to adapt it.", value: "FOLDER")
    var data: String?
    @Flag("Write fresh batch-norm statistics into the files, for the pruned network.") var recalibrate
    @Flag(
        "Fit the layers behind the removed filters anew by least squares on training images, their batch norms too; "
            + "without labels, in a minute or so. The best start of fine-tuning.") var reconstruct
    @Option(
        "Which filters of a layer go: those of the lowest scores, or, as many as the scores say, those that the layer "
            + "behind can best make up for on training images (reconstruction; the default with --reconstruct).",
        value: "scores|reconstruction") var selection: FilterSelectionRule?
    @Option(
        "Which these are: corrected (the unpruned network's, corrected by how the pruning changes those of training "
            + "images) or recalibrated (those of training images).", value: "SOURCE")
    var batchnorm: EvaluationSettings.BatchNorm.Source = .corrected
    @Option("The training images that --recalibrate, --reconstruct and --selection see, the first ones.", value: "N")
    var calibrationImages: Int = 1000
    @Option("Which images the loss is measured on: the run's, or test or train.", value: "SPLIT")
    var split: EvaluationSettings.Split?
    @Option("How many images the loss is measured on: the run's number, or 1000.", value: "N") var images: Int?
    @Option("Compute threads of winnow-worker.", value: "N") var threads: Int?

    func validate() throws {
        if recalibrate && reconstruct {
            throw Failure(.usage, "give --recalibrate or --reconstruct, which has statistics of its own")
        }
        if recalibrate && data == nil { throw Failure(.usage, "--recalibrate needs --data") }
        if reconstruct && data == nil { throw Failure(.usage, "--reconstruct needs --data") }
        if selection == .reconstruction && data == nil {
            throw Failure(.usage, "--selection reconstruction needs --data")
        }
        if batchnorm == .frozen { throw Failure(.usage, "--batchnorm must be corrected or recalibrated") }
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

    /// How the filters of a layer are selected.
    var selectionRule: FilterSelectionRule { selection ?? (reconstruct ? .reconstruction : .scores) }

    /// The filters that go, as many of each layer as the scores say.
    func selected(from network: Network, scores mask: Mask, normalisation: Normalisation) throws -> Mask {
        guard let data, selectionRule == .reconstruction else { return mask }
        return try WorkerProcess.find(threads: threads).selected(
            from: network, asManyAs: mask, data: data, images: calibrationImages, normalisation: normalisation)
    }

    /// The network without the filters of a mask, adapted to the loss as it was asked for.
    func pruned(_ network: Network, removing mask: Mask, normalisation: Normalisation) throws -> Network {
        guard let data, recalibrate || reconstruct else { return network.removing(mask) }
        let worker = try WorkerProcess.find(threads: threads)
        if reconstruct {
            return try worker.reconstructed(
                network, removing: mask, data: data, images: calibrationImages, normalisation: normalisation)
        }
        return try worker.recalibrated(
            network, .init(batchnorm, images: calibrationImages), under: mask, data: data, normalisation: normalisation
        ).removing(mask)
    }

    /// Measures the network of a file, and how much faster it is than the unpruned one, where there are images.
    ///
    /// The loss is that of the run's images (without a run, training images) with the statistics in the file, and with
    /// those that the run's masks were evaluated with.
    func measure(
        _ path: String, unpruned: Network, mask: Mask, settings runSettings: EvaluationSettings?,
        into record: inout PruningRecord
    ) throws {
        guard let data else { return }
        let worker = try WorkerProcess.find(threads: threads)
        var settings = runSettings ?? EvaluationSettings(split: .train, images: 1000, batchNorm: .frozen)
        if let split { settings.split = split }
        if let images { settings.images = images }
        let before = FileManager.default.temporaryDirectory.appending(path: "winnow-unpruned-\(UUID()).safetensors")
        defer { try? FileManager.default.removeItem(at: before) }
        try PrunedFiles.write(Data(Checkpoint.safetensors(of: unpruned)), to: before.path)

        // As the masks were evaluated: a disabled filter is as good as a removed one.
        if settings.batchNorm == .frozen { settings.batchNorm = .init(batchnorm, images: calibrationImages) }
        let space = FilterSpace(unpruned.architecture)
        let masked = try worker.evaluate(before.path, data: data, settings, under: (mask, space))
        settings.batchNorm = .frozen
        var written = try worker.evaluate(path, data: data, settings)
        if recalibrate || reconstruct { written.batchNorm = "written" }
        record.measured = [written, masked]

        let speeds = try worker.speeds(of: [before.path, path])
        record.before.imagesPerSecond = speeds[0]
        record.after.imagesPerSecond = speeds[1]
    }
}
