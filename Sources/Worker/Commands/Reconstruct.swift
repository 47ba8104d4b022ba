import Shared

/// `winnow-worker reconstruct`: removes filters and refits the layers that read them.
struct Reconstruct: Command {
    static let description = CommandDescription(
        name: "reconstruct",
        summary: "write a network without a mask's filters, the layers that read them refitted",
        discussion: """
            Removes the filters that a mask disables, and refits the layers that read them by least squares, so that on the \
            first training images their outputs stay as close as possible to what they were. It uses no labels and no \
            gradients, takes seconds to minutes, and gives fine-tuning a much better start.

                winnow-worker reconstruct --model resnet56.th --masks mask.json --data cifar10 \
                    --output pruned.safetensors
            """)

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where the smaller network is written, as safetensors.", value: "FILE") var output: String
    @Flag("Replace a network that is there already.") var force: Bool

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks], isForced: force).check(output)
        let (network, mask, images) = try options.inputs()
        let reconstruction = try Reconstruction(network, removing: mask, images: images)
        try OutputFile.write(Checkpoint.safetensors(of: try reconstruction.network()), to: output)
    }
}
