import Shared

/// `winnow-worker select`: which filters of each layer the next layer can best do without.
struct Select: Command {
    static let description = CommandDescription(
        name: "select",
        summary: "choose the filters of each layer that the next layer can best do without",
        discussion: """
            The mask says how many filters of each layer go. This chooses which, one after the other: the filter whose \
            part in the next layer's output the other filters can best make up for on the first training images, after a \
            refit of that layer, as 'reconstruct' does it. It uses no labels and no gradients.

                winnow-worker select --model resnet56.th --masks mask.json --data cifar10 --output chosen.json
            """)

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where the mask of the chosen filters is written.", value: "FILE") var output: String

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks]).check(output)
        let network = try options.network()
        let (images, normalisation) = try options.images(for: network)
        let space = FilterSpace(network.graph)
        let selection = FilterSelection(
            network, asManyAs: try options.mask(for: space), images: images,
            normalisation: normalisation)
        try MaskFile.write([try selection.mask()], for: space, to: output)
    }
}
