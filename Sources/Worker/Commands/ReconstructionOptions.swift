import Shared

/// The network, the mask and the images to fit layers on.
struct ReconstructionOptions {
    @Option("Network (ONNX, PyTorch or safetensors).", value: "FILE") var model: String
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("Filters to remove: a file with one mask.", value: "FILE") var masks: String
    @Option("How many training images: the first N, or all if there are fewer.", value: "N")
    var calibrationImages: Int = 1000
    @OptionGroup var normalisationOptions = NormalisationOptions()
    @OptionGroup var engineOptions = EngineOptions()

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisationOptions.validate()
        try engineOptions.validate()
    }

    /// The network, the mask, and images that fit the network.
    func inputs() throws -> (network: Network, mask: Mask, images: FittingImages) {
        let opened = try dataFormat.source(data).open(needsLabels: false)
        let network = try Checkpoint.network(at: model, image: opened.layout.shape)
        let source = try opened.fitting(network.graph)
        let mask = try MaskFile.mask(at: masks, for: FilterSpace(network.graph))
        let count = try ImageSupply.count(calibrationImages, of: .train, in: source, to: "fit layers")
        let images = try FittingImages(
            try source.read(.train, limit: count), for: network.graph,
            normalisation: try normalisationOptions.normalisation(for: source, of: network),
            threads: engineOptions.threadCount, memoryBytesMax: engineOptions.memoryBytesMax)
        return (network, mask, images)
    }
}
