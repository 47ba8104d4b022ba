/// The options that say how pixels become inputs.
public struct NormalisationOptions {
    @Option(
        "The mean of each channel of pixels in 0…1, which is subtracted; where not given, what is usual for the form of "
            + "the images.", value: "R,G,B") var mean: ChannelValues?
    @Option(
        "The standard deviation of each channel, by which is divided; where not given, what is usual for the form of the "
            + "images.", value: "R,G,B") var deviation: ChannelValues?

    /// Makes the options with their defaults.
    public init() {}

    /// Whether any was given.
    public var isGiven: Bool { mean != nil || deviation != nil }

    /// Complains of values that cannot be. Throws a `.usage` ``Failure``.
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

    /// What was chosen for the images of a data set, or is said of a network that will see them, or is usual for their
    /// form, in this order. Says so where the user chose another than the network's. Throws a `.usage` ``Failure`` where
    /// it is not for their channels.
    public func normalisation(for data: DataSet, of network: Network? = nil) throws -> Normalisation {
        if data.layout.pixelType == .float32 {
            guard !isGiven else {
                throw Failure(
                    .usage,
                    "--mean and --deviation are not for images of floats, which are a network's inputs as they are")
            }
            return data.normalisation
        }
        let channels = data.layout.shape.channels
        return try normalisation(
            known: network?.facts.normalisation, orElse: data.normalisation, channels: channels,
            of: "the images of \(data.source.path)")
    }

    /// What was chosen for the images that a network takes, or is said of it, where nothing else is known. Throws a
    /// `.usage` ``Failure`` where that is not for their channels.
    public func normalisation(for network: Network) throws -> Normalisation {
        // A network of flattened images may not say how many channels they had.
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

/// One number for each of an image's channels, written with commas.
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
