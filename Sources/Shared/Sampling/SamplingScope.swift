/// Which layers an ensemble ranks, and how much of each is disabled.
public struct SamplingScope: Sendable {
    /// The layers that take part.
    public enum Layers: Sendable, Hashable {
        /// The first convolution of every residual block, or the hidden layers of a fully connected network.
        case hidden
        /// Every layer whose filters can be disabled.
        case all
        /// The layers whose names match one of the patterns.
        case named([NamePattern])
    }

    /// The default expected disabled share.
    public static let defaultDropRate = 0.15
    /// The expected disabled shares that the designs support.
    public static let dropRates = 0.001...0.75

    /// The layers that take part.
    public var layers: Layers
    /// The expected disabled share of a layer.
    public var dropRate: Double
    /// Shares for the layers of a pattern; the last match counts.
    public var layerDropRates: [(pattern: NamePattern, rate: Double)]

    /// Makes a scope.
    public init(
        layers: Layers = .hidden, dropRate: Double = defaultDropRate,
        layerDropRates: [(pattern: NamePattern, rate: Double)] = []
    ) {
        self.layers = layers
        self.dropRate = dropRate
        self.layerDropRates = layerDropRates
    }

    /// The ranked layers and their drop rates. Throws a `.usage` ``Failure`` if a pattern names no layer or a rate is
    /// out of ``dropRates``.
    func select(from space: FilterSpace) throws -> [(layer: FilterSpace.Layer, rate: Double)] {
        for rate in [dropRate] + layerDropRates.map(\.rate) where !Self.dropRates.contains(rate) {
            throw Failure(
                .usage,
                "a drop rate must be from \(Self.dropRates.lowerBound) to \(Self.dropRates.upperBound), not \(rate)")
        }
        let chosen: [FilterSpace.Layer]
        switch layers {
        case .hidden: chosen = space.layers.filter { $0.role == .hidden }
        case .all: chosen = space.layers
        case .named(let patterns):
            for pattern in patterns { try requireMatch(of: pattern, among: space.layers) }
            chosen = space.layers.filter { layer in patterns.contains { $0.matches(layer.name) } }
        }
        for (pattern, _) in layerDropRates { try requireMatch(of: pattern, among: chosen) }
        guard !chosen.isEmpty else { throw Failure(.usage, "no layer of this network is ranked; see --layers") }
        return chosen.map { layer in
            (layer, layerDropRates.last { $0.pattern.matches(layer.name) }?.rate ?? dropRate)
        }
    }

    private func requireMatch(of pattern: NamePattern, among layers: [FilterSpace.Layer]) throws {
        if layers.contains(where: { pattern.matches($0.name) }) { return }
        let names = layers.map(\.name)
        let near = suggestion(for: pattern.text, among: names)
        throw Failure(
            .usage, "no ranked layer '\(pattern.text)'\(near); there are \(names.joined(separator: ", "))")
    }
}
