/// The options that say how pixels become inputs.
public struct NormalisationOptions {
    @Option(
        "The mean of each channel of pixels in 0…1, which is subtracted.", value: "R,G,B") var mean: ChannelValues =
            ChannelValues(Normalisation.standard.mean)
    @Option("The standard deviation of each channel, by which is divided.", value: "R,G,B") var deviation:
        ChannelValues = ChannelValues(Normalisation.standard.deviation)

    /// Makes the options with their defaults.
    public init() {}

    /// What was chosen. Throws a `.usage` ``Failure`` where a deviation is not positive.
    public func normalisation() throws -> Normalisation {
        guard deviation.values.allSatisfy({ $0 > 0 }) else {
            throw Failure(.usage, "--deviation must be positive, not \(deviation.argumentText)")
        }
        guard mean.values.count == deviation.values.count else {
            throw Failure(
                .usage,
                "--mean has \(mean.values.count) values and --deviation \(deviation.values.count); give one for each "
                    + "channel")
        }
        return Normalisation(mean: mean.values, deviation: deviation.values)
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
