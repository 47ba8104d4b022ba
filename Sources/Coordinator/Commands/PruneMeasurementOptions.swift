import Foundation
import Shared

/// How to measure a pruned network, with `winnow-worker` on real images.
struct PruneMeasurementOptions {
    /// Images to measure losses on if no run gives their number.
    private static let measuredImages = 1000

    @Option("Labelled images to measure and adapt the pruned network with (docs/images.md).", value: "PATH")
    var data: String?
    @OptionGroup var dataFormat = DataFormatOptions()
    @OptionGroup var normalisation = NormalisationOptions()
    @OptionGroup var recognition = RecognitionOptions()
    @Flag("Recompute batch-norm statistics for the pruned network before writing it.") var recalibrate
    @Flag(
        "Refit the layers that read removed filters, by least squares on training images. Needs no labels, "
            + "takes about a minute, and gives fine-tuning its best start.") var reconstruct
    @Option(
        "How to choose which of a layer's filters to remove, once the scores have said how many: the lowest "
            + "scores (scores), or those whose loss a refit of the next layers can best make up for (reconstruction; "
            + "the default with --reconstruct).",
        value: "RULE") var selection: FilterSelectionRule?
    @Option(
        "Statistics that --recalibrate writes: corrected (the unpruned network's, corrected by how pruning "
            + "changes the training images' statistics) or recalibrated (the training images').", value: "SOURCE")
    var batchnorm: AdaptedBatchNorm = .corrected
    @Option(
        "How many training images --recalibrate, --reconstruct and --selection use: the first N, or all if "
            + "there are fewer.", value: "N")
    var calibrationImages: Int = 1000
    @Option("Split to measure the loss on: test or train. By default the run's.", value: "SPLIT")
    var split: EvaluationSettings.Split?
    @Option(
        "How many images to measure the loss on: the first N. By default the run's number, at most 4096, or "
            + "1000 without a run.",
        value: "N") var images: Int?
    @Option("Compute threads of winnow-worker.", value: "N") var threads: Int?

    func validate() throws {
        if recalibrate && reconstruct {
            throw Failure(
                .usage, "give --recalibrate or --reconstruct, not both; --reconstruct recomputes statistics itself")
        }
        if recalibrate && data == nil { throw Failure(.usage, "--recalibrate needs --data") }
        if reconstruct && data == nil { throw Failure(.usage, "--reconstruct needs --data") }
        if selection == .reconstruction && data == nil {
            throw Failure(.usage, "--selection reconstruction needs --data")
        }
        try dataFormat.validate()
        try normalisation.validate()
        try recognition.validate()
        if recognition.expectAccuracy != nil, data == nil { throw Failure(.usage, "--expect-accuracy needs --data") }
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        if let images, !(1...Evaluation.imagesMax).contains(images) {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
    }

    /// The images' shape, if images are given. Throws a ``Failure``.
    func imageShape() throws -> Shape? {
        try data.map { try dataFormat.source($0).open(needsLabels: false).layout.shape }
    }

    /// Checks whether a network without a run recognises the images. Throws a ``Failure``.
    func checkRecognition(of network: Network, _ images: PruningImages) throws {
        let split = split ?? (images.data.splits.contains(.train) ? .train : .test)
        let settings = EvaluationSettings(
            split: split, images: min(try images.data.count(split), EvaluationSettings.measuredMax),
            batchNorm: .frozen, normalisation: images.normalisation)
        try RecognitionCheck(network: network, data: images.data, settings: settings).check(recognition)
    }

    /// The images and their normalisation, from the run if there is one. Nil without images. Throws a ``Failure``.
    func images(of run: PruningSource) throws -> PruningImages? {
        guard let data else { return nil }
        let opened = try dataFormat.source(data, like: run.images).open()
        if let settings = run.settings {
            if normalisation.isGiven { throw Failure(.usage, "--mean and --deviation come from the run") }
            return PruningImages(data: opened, normalisation: settings.normalisation)
        }
        let normalisation = try normalisation.normalisation(for: opened, of: run.network)
        Log.shared.line(opened.summary(normalisation))
        return PruningImages(data: opened, normalisation: normalisation)
    }

    /// The source of gradients on the training images.
    func gradients(images count: Int, of images: PruningImages?) throws -> GradientSource {
        guard let images else { throw Failure(.usage, "gradients need --data") }
        return GradientSource(
            worker: try WorkerProcess.find(threads: threads), data: images.data.source,
            images: try ImageSupply.count(count, of: .train, in: images.data, to: "give gradients"),
            normalisation: images.normalisation)
    }

    /// The held-out images: the last `count`, or the default number. Throws a ``Failure``.
    func heldOut(_ count: Int?, of images: PruningImages) throws -> HeldOutAccuracy {
        let training = try images.data.count(.train)
        let isAdapted = recalibrate || reconstruct || selectionRule == .reconstruction
        return try HeldOutAccuracy(
            count ?? HeldOutImages.count(of: training), of: images.data,
            used: isAdapted ? try adaptationImages(in: images) : 0, normalisation: images.normalisation,
            worker: try WorkerProcess.find(threads: threads))
    }

    /// How the filters of a layer are selected.
    var selectionRule: FilterSelectionRule { selection ?? (reconstruct ? .reconstruction : .scores) }

    /// The filters to remove, as many in each layer as the scores say.
    func selected(from network: Network, scores mask: Mask, images: PruningImages?) throws -> Mask {
        guard let images, selectionRule == .reconstruction else { return mask }
        let count = try adaptationImages(in: images)
        Log.shared.step("choosing filters that a refit can make up for, on \(count) training images")
        return try WorkerProcess.find(threads: threads).selected(
            from: network, asManyAs: mask, data: images.data.source, images: count,
            normalisation: images.normalisation)
    }

    /// The network without a mask's filters, adapted as requested.
    func pruned(_ network: Network, removing mask: Mask, images: PruningImages?) throws -> Network {
        guard let images, recalibrate || reconstruct else { return try network.removing(mask) }
        let worker = try WorkerProcess.find(threads: threads)
        let count = try adaptationImages(in: images)
        if reconstruct {
            Log.shared.step("refitting the layers after the removed filters")
            return try worker.reconstructed(
                network, removing: mask, data: images.data.source, images: count, normalisation: images.normalisation)
        }
        Log.shared.step("recomputing batch-norm statistics")
        return try worker.recalibrated(
            network, batchnorm.batchNorm(images: count), under: mask, data: images.data.source,
            normalisation: images.normalisation
        ).removing(mask)
    }

    /// Measures the loss and the speed of a pruned network and the unpruned one, if there are images.
    ///
    /// The losses are on the run's images (without a run, on training images). In between it measures the network
    /// without the filters and with only its batch norms adapted, as in the run's evaluation of masks.
    func measure(
        _ pruned: Network, unpruned: Network, mask: Mask, settings runSettings: EvaluationSettings?,
        images given: PruningImages?, into record: inout PruningRecord
    ) throws {
        guard let given else { return }
        let worker = try WorkerProcess.find(threads: threads)
        var settings =
            runSettings?.measuring
            ?? EvaluationSettings(
                split: .train, images: Self.measuredImages, batchNorm: .frozen,
                normalisation: given.normalisation)
        if let split { settings.split = split }
        // A pruned network compared with its own outputs shows no loss.
        settings.labels = .given
        settings.images = try ImageSupply.count(
            images ?? settings.images, of: settings.split, in: given.data, to: "measure the loss")
        let removed: EvaluationSettings.BatchNorm =
            if let own = runSettings?.batchNorm, own != .frozen { own } else {
                batchnorm.batchNorm(images: try adaptationImages(in: given))
            }
        try WorkerProcess.withTemporaryFolder { folder in
            let (before, after) = (folder.appending(path: "before").path, folder.appending(path: "after").path)
            try OutputFile.write(Checkpoint.safetensors(of: unpruned), to: before)
            try OutputFile.write(Checkpoint.safetensors(of: pruned), to: after)
            func measure(
                _ network: PruningRecord.Measurement.Stage, _ path: String, _ batchNorm: EvaluationSettings.BatchNorm,
                under mask: (Mask, FilterSpace)? = nil
            ) throws {
                Log.shared.step("measuring on \(settings.images) images: \(network.words)")
                settings.batchNorm = batchNorm
                var measured = try worker.evaluate(path, data: given.data.source, settings, under: mask)
                measured.network = network
                record.measured.append(measured)
            }
            try measure(.unpruned, before, .frozen)
            // A disabled filter is equivalent to a removed one.
            try measure(.removed, before, removed, under: (mask, FilterSpace(unpruned.graph)))
            try measure(recalibrate ? .recalibrated : reconstruct ? .reconstructed : .unadapted, after, .frozen)
            Log.shared.step("measuring images per second, before and after")
            let speeds = try worker.speeds(of: [before, after])
            record.before.imagesPerSecond = speeds[0]
            record.after.imagesPerSecond = speeds[1]
        }
    }

    private func adaptationImages(in images: PruningImages) throws -> Int {
        try ImageSupply.count(calibrationImages, of: .train, in: images.data, to: "adapt the pruned network")
    }
}

/// Batch-norm statistics other than the checkpoint's.
enum AdaptedBatchNorm: String, CaseIterable, ArgumentValue {
    case corrected
    case recalibrated

    /// The number of images they come from.
    func batchNorm(images: Int) -> EvaluationSettings.BatchNorm {
        self == .corrected ? .corrected(images: images) : .recalibrated(images: images)
    }
}

/// The images to adapt and measure a pruned network with.
struct PruningImages {
    let data: DataSet
    let normalisation: Normalisation
}
