/// What is known about a network besides its computation. It stays with the network through pruning and training, in
/// the metadata of Winnow's files.
public struct NetworkFacts: Sendable, Equatable {
    /// How images become its inputs; nil if unknown.
    public var normalisation: Normalisation?
    /// The assumptions about its forward pass if it was read from a file without one, for people; nil if the file
    /// contained it.
    public var assumptions: String?

    /// Knows this much.
    public init(normalisation: Normalisation? = nil, assumptions: String? = nil) {
        self.normalisation = normalisation
        self.assumptions = assumptions
    }

    private enum Key {
        static let mean = "input_mean"
        static let deviation = "input_standard_deviation"
        static let assumptions = "winnow.assumptions"
    }

    /// The longest text about assumptions to keep from a file.
    private static let assumptionsLengthMax = 4096

    /// Keys and texts for a file's metadata.
    public var metadata: [(String, String)] {
        var entries: [(String, String)] = []
        if let normalisation, !normalisation.mean.isEmpty {
            entries.append((Key.mean, Self.text(normalisation.mean)))
            entries.append((Key.deviation, Self.text(normalisation.deviation)))
        }
        if let assumptions { entries.append((Key.assumptions, assumptions)) }
        return entries
    }

    /// Reads a file's metadata. Throws a `.badInput` ``Failure`` if they are not a normalisation.
    public init(metadata: [String: String]) throws {
        assumptions = metadata[Key.assumptions].map { String($0.prefix(Self.assumptionsLengthMax)) }
        guard let mean = metadata[Key.mean], let deviation = metadata[Key.deviation] else { return }
        guard let mean = Self.values(mean), let deviation = Self.values(deviation), mean.count == deviation.count,
            mean.count <= ImageLayout.extentMax, deviation.allSatisfy({ $0 > 0 })
        else {
            throw Failure(.badInput, "\(Key.mean) and \(Key.deviation) in its metadata are not a normalisation")
        }
        normalisation = Normalisation(mean: mean, deviation: deviation)
    }

    private static func text(_ values: [Float]) -> String { values.map { "\($0)" }.joined(separator: " ") }

    /// The numbers in a text; nil if there is none, or something else.
    private static func values(_ text: String) -> [Float]? {
        let words = text.split(separator: " ")
        let values = words.compactMap { Float($0) }.filter(\.isFinite)
        return values.isEmpty || values.count != words.count ? nil : values
    }
}
