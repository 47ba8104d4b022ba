/// What is known of a network beside what it computes. It stays with the network through pruning and training, and
/// stands in the metadata of the files that Winnow writes.
public struct NetworkFacts: Sendable, Equatable {
    /// How images become its inputs; nil where nothing says it.
    public var normalisation: Normalisation?
    /// What was taken for granted of its forward pass when it was read from a file that has none, for a person; nil where
    /// its file said it all.
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

    /// The longest text about assumptions that is kept of a file.
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

    /// Reads what a file's metadata say. Throws a `.badInput` ``Failure`` where that is no normalisation.
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

    /// The numbers of a text; nil where there is none, or something else.
    private static func values(_ text: String) -> [Float]? {
        let words = text.split(separator: " ")
        let values = words.compactMap { Float($0) }.filter(\.isFinite)
        return values.isEmpty || values.count != words.count ? nil : values
    }
}
