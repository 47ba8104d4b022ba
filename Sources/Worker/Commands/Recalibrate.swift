import Foundation
import Shared

/// `winnow-worker recalibrate`: fresh batch-norm statistics for a network, for example after pruning.
struct Recalibrate: Command {
    static let description = CommandDescription(
        name: "recalibrate",
        summary: "write a network with the batch-norm statistics of training images",
        discussion: """
            Measures each layer's mean and variance over the first training images, layer by layer as the network sees \
            them, and writes the network with these as its running statistics, or with its own ones corrected by a \
            mask's effect. Nothing else changes.

                winnow-worker recalibrate --model pruned.safetensors --data cifar10 --output recalibrated.safetensors
                winnow-worker recalibrate --model resnet20.th --batchnorm corrected --masks mask.json --data cifar10 \
                    --output corrected.safetensors
            """)

    @Option("Network (PyTorch or safetensors).", value: "FILE") var model: String
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option(
        "Statistics to write: recalibrated (the training images') or corrected (the network's own, corrected "
            + "by how the mask changes the training images' statistics).", value: "SOURCE")
    var batchnorm: EvaluationSettings.BatchNorm.Source = .recalibrated
    @Option("Filters to disable while measuring: a file with one mask. By default none.", value: "FILE")
    var masks: String?
    @Option("How many training images: the first N, or all if there are fewer.", value: "N")
    var calibrationImages: Int = 1000
    @Option("Where to write the network, as safetensors.", value: "FILE") var output: String
    @Flag("Overwrite an existing network.") var force: Bool
    @OptionGroup var normalisationOptions = NormalisationOptions()
    @OptionGroup var engineOptions = EngineOptions()

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisationOptions.validate()
        if batchnorm == .frozen { throw Failure(.usage, "--batchnorm frozen would change nothing") }
        if batchnorm == .corrected && masks == nil {
            throw Failure(.usage, "--batchnorm corrected needs --masks: without a mask it would change nothing")
        }
    }

    func run() throws {
        try OutputGuard(reading: [model, masks], isForced: force).check(output)
        let opened = try dataFormat.source(data).open(needsLabels: false)
        let network = try Checkpoint.network(at: model, image: opened.layout.shape)
        let source = try opened.fitting(network.graph)
        let engine = try engineOptions.engine(network)
        let space = FilterSpace(network.graph)
        let mask = try masks.map { try MaskFile.mask(at: $0, for: space) } ?? Mask(count: space.count)
        let count = try ImageSupply.count(calibrationImages, of: .train, in: source, to: "take statistics")
        let images = try source.read(.train, limit: count)
        let changed = try engine.recalibrated(
            network, .init(batchnorm, images: count), under: mask, of: images,
            normalisation: try normalisationOptions.normalisation(for: source, of: network))
        let bytes = Checkpoint.safetensors(of: changed)
        try OutputFile.write(bytes, to: output)
    }
}
