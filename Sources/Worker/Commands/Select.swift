import Shared

/// `winnow-worker select`: which filters of each layer the layer behind can best do without.
struct Select: Command {
    static let description = CommandDescription(
        name: "select",
        summary: "choose the filters of each layer that the layer behind can best do without",
        discussion: """
            Takes from a mask how many filters of each layer go, and chooses which: one after the other, those whose part \
            in what the layer behind puts out the others can best make up for on the first training images, once that \
            layer is fitted anew, as 'reconstruct' does. No labels and no gradients are used.

                winnow-worker select --model resnet56.th --masks mask.json --data cifar10 --output chosen.json
            """)

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where the mask of the chosen filters is written.", value: "FILE") var output: String

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks]).check(output)
        let network = try options.network()
        let space = FilterSpace(network.graph)
        let selection = FilterSelection(
            network, asManyAs: try options.mask(for: space), images: try options.images(),
            normalisation: try options.normalisation())
        try MaskFile.write([try selection.mask()], for: space, to: output)
    }
}
