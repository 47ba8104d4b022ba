import Shared

/// `winnow-worker reconstruct`: removes filters and lets the layers behind them make up for it.
struct Reconstruct: Command {
    static let description = CommandDescription(
        name: "reconstruct",
        summary: "write a network without a mask's filters, the layers behind them fitted anew",
        discussion: """
            Removes the filters that a mask disables, and chooses the weights of the layers behind them by least squares, \
            so that on the first training images each puts out as nearly as it can what it put out before. No labels and \
            no gradients are used, and it takes seconds: what fine-tuning begins with is much better.

                winnow-worker reconstruct --model resnet56.th --masks mask.json --data cifar10 \
                    --output pruned.safetensors
            """)

    @Option("The network: a PyTorch checkpoint or safetensors.", value: "FILE") var model: String
    @Option("The folder of CIFAR-10's binary batches.", value: "DIR") var data: String
    @Option("The filters that go: a file of one mask.", value: "FILE") var masks: String
    @Option("The training images, the first ones.", value: "N") var calibrationImages: Int = 1000
    @Option("Where the smaller network is written, as safetensors.", value: "FILE") var output: String
    @OptionGroup var normalisationOptions = NormalisationOptions()

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(calibrationImages) else {
            throw Failure(.usage, "--calibration-images must be from 1 to \(Evaluation.imagesMax)")
        }
    }

    func run() throws {
        let network = try Checkpoint.network(at: model)
        let mask = try MaskFile.mask(at: masks, for: FilterSpace(network.architecture))
        let images = try CIFAR10.read(directory: data, split: .train, limit: calibrationImages)
        let reconstruction = Reconstruction(
            network, removing: mask, images: images, normalisation: try normalisationOptions.normalisation())
        try OutputFile.write(Checkpoint.safetensors(of: try reconstruction.network()), to: output)
    }
}
