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
        if let deviation, !deviation.values.allSatisfy({ $0 > 0 }) {
            throw Failure(.usage, "--deviation must be positive, not \(deviation.argumentText)")
        }
    }

    /// What was chosen for the images of a data set. Throws a `.usage` ``Failure`` where that is not for their
    /// channels.
    public func normalisation(for data: DataSet) throws -> Normalisation {
        if isGiven, data.layout.pixelType == .float32 {
            throw Failure(
                .usage, "--mean and --deviation are not for images of floats, which are a network's inputs as they are")
        }
        return try normalisation(
            orElse: data.normalisation, channels: data.layout.shape.channels, of: "the images of \(data.source.path)")
    }

    /// What was chosen for the images that a network takes, of which nothing else is known. Throws a `.usage`
    /// ``Failure`` where that is not for their channels.
    public func normalisation(for graph: Graph) throws -> Normalisation {
        // A network of flattened images may not say how many channels they had.
        let channels = graph.imageShape.isVector ? mean?.values.count ?? 3 : graph.imageShape.channels
        let usual = channels == 3 ? Normalisation.standard : .scaling(channels: channels)
        return try normalisation(orElse: usual, channels: channels, of: "the network's images")
    }

    private func normalisation(
        orElse usual: Normalisation, channels: Int, of images: String
    ) throws -> Normalisation {
        try validate()
        for (name, values) in [("--mean", mean), ("--deviation", deviation)] {
            guard let values, values.values.count != channels else { continue }
            throw Failure(
                .usage, "\(name) has \(values.values.count) values, but \(images) have \(channels) channels")
        }
        return Normalisation(
            mean: mean?.values ?? usual.mean, deviation: deviation?.values ?? usual.deviation)
    }
}

/// One number for each of an image's channels, written with commas.
struct ChannelValues: ArgumentValue {
    let values: [Float]

    init?(argument: String) {
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        let values = words.compactMap { Float($0) }.filter(\.isFinite)
        guard !values.isEmpty, words.count == values.count else { return nil }
        self.values = values
    }

    var argumentText: String { values.map { "\($0)" }.joined(separator: ",") }
    static var expectation: String { "a number for each channel, such as 0.485,0.456,0.406" }
}
