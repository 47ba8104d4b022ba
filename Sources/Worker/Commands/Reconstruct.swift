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

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where the smaller network is written, as safetensors.", value: "FILE") var output: String
    @Flag("Replace a network that is there already.") var force: Bool

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks], isForced: force).check(output)
        let network = try options.network()
        let reconstruction = try Reconstruction(
            network, removing: try options.mask(for: FilterSpace(network.graph)), images: try options.images(),
            normalisation: try options.normalisation())
        try OutputFile.write(Checkpoint.safetensors(of: try reconstruction.network()), to: output)
    }
}
