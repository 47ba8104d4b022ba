import Foundation
import Shared

/// What of a pruned network is measured on real images, and by whom.
struct PruneMeasurementOptions {
    /// Images that losses are measured on where no run says how many.
    private static let measuredImages = 1000

    @Option("Labelled images, to measure the pruned network and to adapt it (docs/images.md).", value: "PATH")
    var data: String?
    @OptionGroup var dataFormat = DataFormatOptions()
    @OptionGroup var normalisation = NormalisationOptions()
    @OptionGroup var recognition = RecognitionOptions()
    @Flag("Write fresh batch-norm statistics into the files, for the pruned network.") var recalibrate
    @Flag(
        "Refit the layers that read removed filters, by least squares on training images. Takes no labels and a minute or "
            + "so, and gives fine-tuning its best start.") var reconstruct
    @Option(
        "Which filters of a layer go, once the scores have said how many: those of the lowest scores (scores), or those "
            + "whose loss a refit of the next layers can best make up for (reconstruction; the default with --reconstruct).",
        value: "RULE") var selection: FilterSelectionRule?
    @Option(
        "The statistics of --recalibrate: corrected (the unpruned network's, corrected by how the pruning changes those "
            + "of training images) or recalibrated (those of training images).", value: "SOURCE")
    var batchnorm: AdaptedBatchNorm = .corrected
    @Option(
        "The training images that --recalibrate, --reconstruct and --selection see: the first N, or all where there are "
            + "fewer.", value: "N")
    var calibrationImages: Int = 1000
    @Option("Which images the loss is measured on: the run's, or test or train.", value: "SPLIT")
    var split: EvaluationSettings.Split?
    @Option(
        "How many images the loss is measured on, the first ones: the run's, up to 4096, or 1000 without a run.",
        value: "N") var images: Int?
    @Option("Compute threads of the local worker, and of the engine whose speed is measured.", value: "N")
    var threads: Int?
    @OptionGroup var cluster = ClusterOptions()

    func validate() throws {
        if recalibrate && reconstruct {
            throw Failure(.usage, "give --recalibrate or --reconstruct, which has statistics of its own")
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

    /// The shape of the images, where some are given. Throws a ``Failure``.
    func imageShape() throws -> Shape? {
        try data.map { try dataFormat.source($0).open(needsLabels: false).layout.shape }
    }

    /// Looks at whether a network without a run recognises the images. Throws a ``Failure``.
    func checkRecognition(of network: Network, _ images: PruningImages) throws {
        let split = split ?? (images.data.splits.contains(.train) ? .train : .test)
        let settings = EvaluationSettings(
            split: split, images: min(try images.data.count(split), EvaluationSettings.measuredMax),
            batchNorm: .frozen, normalisation: images.normalisation)
        try RecognitionCheck(network: network, data: images.data, settings: settings, jobs: images.jobs)
            .check(recognition)
    }

    /// The images and how they become inputs: as a run says where there is one. Nil where no images are given. Throws a
    /// ``Failure``.
    func images(of run: PruningSource) throws -> PruningImages? {
        guard let data else { return nil }
        let opened = try dataFormat.source(data, like: run.images).open()
        if let settings = run.settings {
            if normalisation.isGiven { throw Failure(.usage, "--mean and --deviation are those of the run") }
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

    /// Where gradients on the training images come from.
    func gradients(images count: Int, of images: PruningImages?) throws -> GradientSource {
        guard let images else { throw Failure(.usage, "gradients need --data") }
        return GradientSource(
            jobs: images.jobs, images: try ImageSupply.count(count, of: .train, in: images.data, to: "give gradients"))
    }

    /// The held-out images, `count` of them or as many as usual. Throws a ``Failure``.
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

    /// The filters that go, as many of each layer as the scores say.
    func selected(from network: Network, scores mask: Mask, images: PruningImages?) throws -> Mask {
        guard let images, selectionRule == .reconstruction else { return mask }
        let count = try adaptationImages(in: images)
        Log.shared.step("choosing filters that the others can make up for, on \(count) training images")
        return try images.jobs.selected(from: network, asManyAs: mask, images: count)
    }

    /// The network without the filters of a mask, adapted to the loss as it was asked for.
    func pruned(_ network: Network, removing mask: Mask, images: PruningImages?) throws -> Network {
        guard let images, recalibrate || reconstruct else { return try network.removing(mask) }
        let count = try adaptationImages(in: images)
        if reconstruct {
            Log.shared.step("refitting the layers after the removed filters")
            return try images.jobs.reconstructed(network, removing: mask, images: count)
        }
        Log.shared.step("taking batch-norm statistics")
        return try images.jobs.recalibrated(network, batchnorm.batchNorm(images: count), under: mask).removing(mask)
    }

    /// Measures a pruned network and the unpruned one, and how fast they are, where there are images.
    ///
    /// The losses are on the run's images (without a run, on training images). Between both stands the network without
    /// the filters and nothing adapted but its batch norms, as the run's masks were evaluated.
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
        // A pruned network's own answers tell nothing of what it lost.
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

/// Batch-norm statistics that are not those of the checkpoint.
enum AdaptedBatchNorm: String, CaseIterable, ArgumentValue {
    case corrected
    case recalibrated

    /// Taken from so many images.
    func batchNorm(images: Int) -> EvaluationSettings.BatchNorm {
        self == .corrected ? .corrected(images: images) : .recalibrated(images: images)
    }
}

/// Images that a pruned network is adapted to and measured on.
struct PruningImages {
    let data: DataSet
    let normalisation: Normalisation
    /// Who computes on them.
    let jobs: NetworkJobs
}
