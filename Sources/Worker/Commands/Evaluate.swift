import Shared

/// `winnow-worker evaluate`: the losses of the masks of a file.
struct Evaluate: Command {
    static let description = CommandDescription(
        name: "evaluate",
        summary: "evaluate a network under the masks of a file",
        discussion: """
            Reads masks such as {"masks":[{"disabled":{"layer1.0.conv1":[0,3]}}]} and writes, in the same order, \
            {"model":…,"images":N,"results":[{"loss":0.37266,"correct":9173}]}. A loss is the mean cross-entropy in \
            nats; with --labels network the mean divergence from the unmasked network's answers, and correct counts the \
            images on which both agree.

                winnow-worker evaluate --model resnet20.th --data cifar10 --masks masks.json --output losses.json
            """)

    @Option("The trained network: a PyTorch checkpoint or safetensors.", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @Option("Labelled images: a folder or file in a form that docs/images.md lists.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("The images to evaluate: test or train.", value: "SPLIT") var split: EvaluationSettings.Split = .test
    @Option("How many of them, the first ones. By default all.", value: "N") var images: Int?
    @Option("How many images of the split to leave out before them.", value: "N") var skip: Int = 0
    @Option("The masks.", value: "FILE") var masks: String
    @Option("Where the losses are written.", value: "FILE") var output: String
    @Option(
        "What masked networks are compared with: given (the images' labels) or network (the unmasked network's answers).",
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
        let source = try dataFormat.source(data).open()
        let network = try Checkpoint.network(at: model, image: source.layout.shape, hints: checkpoint.hints)
        let masks = try MaskFile.read(at: masks, for: FilterSpace(network.graph))
        let engine = try engineOptions.engine(network)
        let normalisation = try normalisationOptions.normalisation(for: source, of: network)
        let evaluated = try images(of: source)
        var calibration: ImageSet?
        if let count = batchNorm.calibrationImages {
            calibration = try source.read(.train, limit: count)
        }
        let settings = EvaluationSettings(
            split: split, images: evaluated.count, batchNorm: batchNorm, normalisation: normalisation,
            labels: labels)
        let evaluations = try engine.evaluate(masks, images: evaluated, calibration: calibration, settings: settings)
        try LossFile.write(evaluations, model: model, images: evaluated.count, to: output)
    }

    private func images(of source: DataSet) throws -> ImageSet {
        let read = try source.read(split, limit: images.map { skip + $0 })
        guard skip < read.count else {
            throw Failure(.badInput, "\(data) has \(read.count) \(split.rawValue) images; --skip \(skip) leaves none")
        }
        return read.subset(skip..<read.count)
    }
}
