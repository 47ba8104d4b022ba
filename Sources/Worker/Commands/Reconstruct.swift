import Shared

/// `winnow-worker reconstruct`: removes filters and refits the layers after them.
struct Reconstruct: Command {
    static let description = CommandDescription(
        name: "reconstruct",
        summary: "write a network without a mask's filters, the layers after them refitted",
        discussion: """
            Removes the filters that a mask disables, and refits the layers after them by least squares, so that on the \
            first training images each layer's output stays as close as possible to what it was. It uses no labels and no \
            gradients, takes seconds, and gives fine-tuning a much better start.

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
        let (images, normalisation) = try options.images(for: network)
        let reconstruction = try Reconstruction(
            network, removing: try options.mask(for: FilterSpace(network.graph)), images: images,
            normalisation: normalisation)
        try OutputFile.write(Checkpoint.safetensors(of: try reconstruction.network()), to: output)
    }
}
