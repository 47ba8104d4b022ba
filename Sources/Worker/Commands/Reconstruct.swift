import Shared

/// `winnow-worker reconstruct`: removes filters and refits the layers that read them.
struct Reconstruct: Command {
    static let description = CommandDescription(
        name: "reconstruct",
        summary: "remove a mask's filters and refit the layers that read them",
        discussion: """
            Removes the filters that a mask disables and refits the layers that read them by least squares, to keep their \
            outputs on the first training images as close as possible to the original ones. Uses no labels and no \
            gradients, takes seconds to minutes, and gives fine-tuning a much better start.

                winnow-worker reconstruct --model resnet56.th --masks mask.json --data cifar10 \
                    --output pruned.safetensors
            """)

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where to write the smaller network, as safetensors.", value: "FILE") var output: String
    @Flag("Overwrite an existing network.") var force: Bool

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks], isForced: force).check(output)
        let (network, mask, images) = try options.inputs()
        let reconstruction = try Reconstruction(network, removing: mask, images: images)
        try OutputFile.write(Checkpoint.safetensors(of: try reconstruction.network()), to: output)
    }
}
