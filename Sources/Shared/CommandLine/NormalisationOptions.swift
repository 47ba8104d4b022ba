/// The options that say how pixels become inputs.
public struct NormalisationOptions {
    @Option(
        "Mean of each channel, for pixels in 0…1. By default the usual one for the images' format.", value: "R,G,B")
    var mean: ChannelValues?
    @Option(
        "Standard deviation of each channel, for pixels in 0…1. By default the usual one for the images' format.",
        value: "R,G,B") var deviation: ChannelValues?

    /// Makes the options with their defaults.
    public init() {}

    /// Whether any was given.
    public var isGiven: Bool { mean != nil || deviation != nil }

    /// Rejects impossible values. Throws a `.usage` ``Failure``.
    public func validate() throws {
        if let mean, mean.values.contains(where: { abs($0) > Normalisation.meanMax }) {
            let scaled = ChannelValues(mean.values.map { $0 / 255 })
            throw Failure(
                .usage,
                "--mean \(mean.argumentText) is for pixels in 0…255; Winnow's are in 0…1: divide --mean and --deviation by "
                    + "255 (--mean \(scaled.argumentText))")
        }
        if let deviation, !deviation.values.allSatisfy({ $0 > 0 }) {
            throw Failure(.usage, "--deviation must be positive, not \(deviation.argumentText)")
        }
    }

    /// The normalisation of a data set's images: the given one, or that of the network that will see them, or the usual
    /// one for their format, in this order. Says so if the user's choice differs from the network's. Throws a `.usage`
    /// ``Failure`` if it does not fit their channels.
    public func normalisation(for data: DataSet, of network: Network? = nil) throws -> Normalisation {
        if data.layout.pixelType == .float32 {
            guard !isGiven else {
                throw Failure(
                    .usage,
                    "--mean and --deviation do not apply to float images, which enter the network unchanged")
            }
            return data.normalisation
        }
        let channels = data.layout.shape.channels
        return try normalisation(
            known: network?.facts.normalisation, orElse: data.normalisation, channels: channels,
            of: "the images of \(data.source.path)")
    }

    /// The normalisation of a network's images, given or the network's, if nothing else is known. Throws a `.usage`
    /// ``Failure`` if it does not fit their channels.
    public func normalisation(for network: Network) throws -> Normalisation {
        // A network of flattened images may not know how many channels they had.
        let known = network.facts.normalisation
        let shape = network.graph.imageShape
        let channels = shape.isVector ? (mean?.values ?? known?.mean)?.count ?? 3 : shape.channels
        let usual = channels == 3 ? Normalisation.standard : .scaling(channels: channels)
        return try normalisation(known: known, orElse: usual, channels: channels, of: "the network's images")
    }

    private func amount(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

    private func normalisation(
        known: Normalisation?, orElse usual: Normalisation, channels: Int, of images: String
    ) throws -> Normalisation {
        try validate()
        let known = known.flatMap { $0.mean.count == channels ? $0 : nil }
        let usual = known ?? usual
        for (name, values) in [("--mean", mean), ("--deviation", deviation)] {
            guard let values, values.values.count != channels else { continue }
            throw Failure(
                .usage,
                "\(name) has \(amount(values.values.count, "value")), but \(images) have \(amount(channels, "channel"))"
            )
        }
        let chosen = Normalisation(
            mean: mean?.values ?? usual.mean, deviation: deviation?.values ?? usual.deviation)
        if let known, known != chosen {
            Log.shared.line("\(chosen), as given; the network says \(known)")
        }
        return chosen
    }
}

/// One number per channel, separated by commas.
struct ChannelValues: ArgumentValue {
    let values: [Float]

    init(_ values: [Float]) { self.values = values }

    init?(argument: String) {
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        let values = words.compactMap { Float($0) }.filter(\.isFinite)
        guard !values.isEmpty, words.count == values.count else { return nil }
        self.values = values
    }

    var argumentText: String { values.map { "\($0)" }.joined(separator: ",") }
    static var expectation: String { "a number for each channel, such as 0.485,0.456,0.406" }
}
