import Foundation
import Shared

/// What of a pruned network is measured on real images, and by whom.
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
    @Option("Compute threads of the local worker, and of the engine whose speed is measured.", value: "N")
    var threads: Int?
    @OptionGroup var cluster = ClusterOptions()

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
        try cluster.validate()
        if cluster.$bind.isGiven, data == nil { throw Failure(.usage, "--bind is for what is computed on --data") }
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
        try RecognitionCheck(network: network, data: images.data, settings: settings, jobs: images.jobs)
            .check(recognition)
    }

    /// The images and their normalisation, from the run if there is one. Nil without images. Throws a ``Failure``.
    func images(of run: PruningSource) throws -> PruningImages? {
        guard let data else { return nil }
        let opened = try dataFormat.source(data, like: run.images).open()
        if let settings = run.settings {
            if normalisation.isGiven { throw Failure(.usage, "--mean and --deviation come from the run") }
            return try pruningImages(opened, settings.normalisation)
        }
        let normalisation = try normalisation.normalisation(for: opened, of: run.network)
        Log.shared.line(opened.summary(normalisation))
        return try pruningImages(opened, normalisation)
    }

    private func pruningImages(_ data: DataSet, _ normalisation: Normalisation) throws -> PruningImages {
        if cluster.workerThreads == nil { cluster.workerThreads = threads }
        return PruningImages(
            data: data, normalisation: normalisation,
            jobs: try NetworkJobs(on: data, normalisation: normalisation, cluster: cluster))
    }

    /// The source of gradients on the training images.
    func gradients(images count: Int, of images: PruningImages?) throws -> GradientSource {
        guard let images else { throw Failure(.usage, "gradients need --data") }
        return GradientSource(
            jobs: images.jobs, images: try ImageSupply.count(count, of: .train, in: images.data, to: "give gradients"))
    }

    /// The held-out images: the last `count`, or the default number. Throws a ``Failure``.
    func heldOut(_ count: Int?, of images: PruningImages) throws -> HeldOutAccuracy {
        let training = try images.data.count(.train)
        let isAdapted = recalibrate || reconstruct || selectionRule == .reconstruction
        return try HeldOutAccuracy(
            count ?? HeldOutImages.count(of: training), of: images.data,
            used: isAdapted ? try adaptationImages(in: images) : 0, normalisation: images.normalisation,
            jobs: images.jobs)
    }

    /// How the filters of a layer are selected.
    var selectionRule: FilterSelectionRule { selection ?? (reconstruct ? .reconstruction : .scores) }

    /// The filters to remove, as many in each layer as the scores say.
    func selected(from network: Network, scores mask: Mask, images: PruningImages?) throws -> Mask {
        guard let images, selectionRule == .reconstruction else { return mask }
        let count = try adaptationImages(in: images)
        Log.shared.step("choosing filters that a refit can make up for, on \(count) training images")
        return try images.jobs.selected(from: network, asManyAs: mask, images: count)
    }

    /// The network without a mask's filters, adapted as requested.
    func pruned(_ network: Network, removing mask: Mask, images: PruningImages?) throws -> Network {
        guard let images, recalibrate || reconstruct else { return try network.removing(mask) }
        let count = try adaptationImages(in: images)
        if reconstruct {
            Log.shared.step("refitting the layers after the removed filters")
            return try images.jobs.reconstructed(network, removing: mask, images: count)
        }
        Log.shared.step("recomputing batch-norm statistics")
        return try images.jobs.recalibrated(network, batchnorm.batchNorm(images: count), under: mask).removing(mask)
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
        func measure(
            _ stage: PruningRecord.Measurement.Stage, _ network: Network, _ batchNorm: EvaluationSettings.BatchNorm,
            under mask: Mask? = nil
        ) throws {
            Log.shared.step("measuring on \(settings.images) images: \(stage.words)")
            settings.batchNorm = batchNorm
            let unmasked = Mask(count: FilterSpace(network.graph).count)
            for var measured in try given.jobs.evaluate(network, under: [mask ?? unmasked], settings) {
                measured.network = stage
                record.measured.append(measured)
            }
        }
        try measure(.unpruned, unpruned, .frozen)
        // A disabled filter is as good as a removed one.
        try measure(.removed, unpruned, removed, under: mask)
        try measure(recalibrate ? .recalibrated : reconstruct ? .reconstructed : .unadapted, pruned, .frozen)
        Log.shared.step("measuring images per second, before and after")
        let speeds = try EngineSpeed.find(threads: threads).imagesPerSecond([unpruned, pruned])
        record.before.imagesPerSecond = speeds[0]
        record.after.imagesPerSecond = speeds[1]
    }

    private func adaptationImages(in images: PruningImages) throws -> Int {
        try ImageSupply.count(calibrationImages, of: .train, in: images.data, to: "adapt the pruned network")
    }
}

/// Batch-norm statistics other than the checkpoint's.
enum AdaptedBatchNorm: String, CaseIterable, ArgumentValue {
    case corrected
    case recalibrated

    /// Taken from so many images.
    func batchNorm(images: Int) -> EvaluationSettings.BatchNorm {
        self == .corrected ? .corrected(images: images) : .recalibrated(images: images)
    }
}

/// The images to adapt and measure a pruned network with.
struct PruningImages {
    let data: DataSet
    let normalisation: Normalisation
    /// Who computes on them.
    let jobs: NetworkJobs
}
