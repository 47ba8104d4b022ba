import Shared

/// `winnow-worker select`: which filters of each layer the layers that read it can best do without.
struct Select: Command {
    static let description = CommandDescription(
        name: "select",
        summary: "choose the filters of each layer that a refit of the next layers can best make up for",
        discussion: """
            The mask says how many filters of each layer to remove. This chooses which, one after the other: the filter \
            that the layer's others can best make up for on the first training images, after a refit of the layers that \
            read it (see 'reconstruct'). Uses no labels and no gradients.

                winnow-worker select --model resnet56.th --masks mask.json --data cifar10 --output chosen.json
            """)

    @OptionGroup var options = ReconstructionOptions()
    @Option("Where to write the mask of the chosen filters.", value: "FILE") var output: String

    func validate() throws { try options.validate() }

    func run() throws {
        try OutputGuard(reading: [options.model, options.masks]).check(output)
        let (network, mask, images) = try options.inputs()
        let choice = try FilterSelection(network, asManyAs: mask, images: images).choice()
        for (layer, reader) in choice.skipped {
            Log.shared.line(
                "\(layer) keeps the mask's filters: the equations of \(reader) need too much memory; raise "
                    + "--memory-limit")
        }
        try MaskFile.write([choice.mask], for: FilterSpace(network.graph), to: output)
    }
}
