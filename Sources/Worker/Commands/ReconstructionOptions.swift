import Shared

/// The network, the mask and the images that layers are fitted on.
struct ReconstructionOptions {
    @Option("The network: a PyTorch checkpoint or safetensors.", value: "FILE") var model: String
    @Option("The folder of CIFAR-10's binary batches.", value: "DIR") var data: String
    @Option("The filters that go: a file of one mask.", value: "FILE") var masks: String
    @Option("The training images, the first ones.", value: "N") var calibrationImages: Int = 1000
    @OptionGroup var normalisationOptions = NormalisationOptions()

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
    }

    func network() throws -> Network { try Checkpoint.network(at: model) }

    func mask(for space: FilterSpace) throws -> Mask { try MaskFile.mask(at: masks, for: space) }

    func images() throws -> ImageSet { try CIFAR10.read(directory: data, split: .train, limit: calibrationImages) }

    func normalisation() throws -> Normalisation { try normalisationOptions.normalisation() }
}
