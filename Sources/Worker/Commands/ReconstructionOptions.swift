import Shared

/// The network, the mask and the images that layers are fitted on.
struct ReconstructionOptions {
    @Option("The network: a PyTorch checkpoint or safetensors.", value: "FILE") var model: String
    @Option("Labelled images: a folder or file in a form that docs/images.md lists.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("The filters that go: a file of one mask.", value: "FILE") var masks: String
    @Option("The training images, the first ones.", value: "N") var calibrationImages: Int = 1000
    @OptionGroup var normalisationOptions = NormalisationOptions()

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisationOptions.validate()
    }

    func network() throws -> Network { try Checkpoint.network(at: model) }

    func mask(for space: FilterSpace) throws -> Mask { try MaskFile.mask(at: masks, for: space) }

    /// The training images, which the network takes, and how they become its inputs.
    func images(for network: Network) throws -> (ImageSet, Normalisation) {
        let source = try dataFormat.source(data).open()
        let images = try source.read(.train, limit: calibrationImages)
        try images.check(fits: network.graph)
        return (images, try normalisationOptions.normalisation(for: source, of: network))
    }
}
