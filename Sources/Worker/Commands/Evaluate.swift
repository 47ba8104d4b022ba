import Shared

/// `winnow-worker evaluate`: the losses of the masks of a file.
struct Evaluate: Command {
    static let description = CommandDescription(
        name: "evaluate",
        summary: "evaluate a network under the masks in a file",
        discussion: """
            Reads masks such as {"masks":[{"disabled":{"layer1.0.conv1":[0,3]}}]} and writes, in the same order, \
            {"model":…,"images":N,"results":[{"loss":0.37266,"correct":9173}]}. A loss is the mean cross-entropy in \
            nats. With --labels network it is the mean divergence from the unmasked network's outputs, and correct \
            counts the images on which both agree.

                winnow-worker evaluate --model resnet20.th --data cifar10 --masks masks.json --output losses.json

            Masks may name their own images, like those of 'winnow-coordinator ensemble --run': they are then evaluated \
            on these and calibrated with the first of them. To get the losses of a run:

                winnow-coordinator ensemble --run resnet20.winnow --output masks.json
                winnow-worker evaluate --model resnet20.th --data cifar10 --split train --batchnorm corrected \\
                    --masks masks.json --output losses.json
            """)

    @Option("Network checkpoint (PyTorch or safetensors).", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("Split to evaluate: test or train.", value: "SPLIT") var split: EvaluationSettings.Split = .test
    @Option("Evaluate the first N images. By default all, or those that the masks name.", value: "N") var images: Int?
    @Option("Skip this many images of the split first.", value: "N") var skip: Int = 0
    @Option("The masks.", value: "FILE") var masks: String
    @Option("Where to write the losses.", value: "FILE") var output: String
    @Option(
        "What to compare masked networks with: given (the images' labels) or network (the unmasked network's outputs).",
        value: "SOURCE") var labels: EvaluationSettings.Labels = .given
    @OptionGroup var batchNormOptions = BatchNormOptions()
    @OptionGroup var normalisationOptions = NormalisationOptions()
    @OptionGroup var engineOptions = EngineOptions()

    func validate() throws {
        if let images, !(1...Evaluation.imagesMax).contains(images) {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
        guard (0..<ImageSet.countMax).contains(skip) else { throw Failure(.usage, "--skip must not be negative") }
        try checkpoint.validate()
        try dataFormat.validate()
        try normalisationOptions.validate()
    }

    func run() throws {
        try OutputGuard(reading: [model, masks]).check(output)
        let batchNorm = try batchNormOptions.batchNorm()
        let opened = try dataFormat.source(data).open(needsLabels: labels == .given)
        let network = try Checkpoint.network(at: model, image: opened.layout.shape, hints: checkpoint.hints)
        let source = try opened.fitting(network.graph)
        let contents = try MaskFile.contents(at: masks, for: FilterSpace(network.graph))
        let haveOwnImages = !contents.listOfMask.isEmpty
        guard !haveOwnImages || images == nil else {
            throw Failure(.usage, "the masks in \(masks) name their images; do not give --images")
        }
        let engine = try engineOptions.engine(network)
        let normalisation = try normalisationOptions.normalisation(for: source, of: network)
        guard !haveOwnImages || skip == 0 else {
            throw Failure(.usage, "the masks in \(masks) name their images; do not give --skip")
        }
        let pool =
            haveOwnImages
            ? try source.read(split, limit: (contents.images.joined().max() ?? 0) + 1) : try images(of: source)
        var calibration: ImageSet?
        // Test images calibrate nothing.
        if let count = batchNorm.calibrationImages, !haveOwnImages || split == .test {
            calibration = try source.read(.train, limit: count)
        }
        let settings = EvaluationSettings(
            split: split, images: contents.images.first?.count ?? pool.count, batchNorm: batchNorm,
            normalisation: normalisation, labels: labels)
        let evaluations = try engine.evaluate(
            contents.masks, groups: haveOwnImages ? contents.listOfMask : contents.masks.map { _ in 0 },
            images: { haveOwnImages ? pool.picking(contents.images[$0]) : pool }, calibration: calibration,
            settings: settings)
        try LossFile.write(evaluations, model: model, images: settings.images, to: output)
    }

    private func images(of source: DataSet) throws -> ImageSet {
        let read = try source.read(split, limit: images.map { skip + $0 })
        guard skip < read.count else {
            throw Failure(.badInput, "\(data) has \(read.count) \(split.rawValue) images; --skip \(skip) leaves none")
        }
        return read.subset(skip..<read.count)
    }
}
