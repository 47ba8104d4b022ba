import Shared

/// How much of the layers of a pattern a pruning keeps at least.
public struct LayerCap: Sendable, Equatable, Codable {
    /// Which layers, as for ``NamePattern``.
    public var pattern: String
    /// The least share of the unpruned layer's filters to keep, 0 to 1.
    public var keptShare: Double

    /// Makes a cap.
    public init(pattern: String, keptShare: Double) {
        self.pattern = pattern
        self.keptShare = keptShare
    }

    /// Throws a `.usage` ``Failure`` if a cap's pattern matches no layer with removable filters.
    static func check(_ caps: [LayerCap], fit graph: Graph) throws {
        let names = FilterSpace(graph).layers.map(\.name)
        for cap in caps where !names.contains(where: NamePattern(cap.pattern).matches) {
            throw Failure(
                .usage,
                "no prunable layer matches '\(cap.pattern)'\(suggestion(for: cap.pattern, among: names)); there are "
                    + names.joined(separator: ", "))
        }
    }

    /// For each capped layer, the least share of its filters in `graph` to keep, so that the caps hold for the unpruned
    /// network.
    static func leastShares(_ caps: [LayerCap], in graph: Graph, of unpruned: Graph) -> [String: Double] {
        let counts = Dictionary(
            FilterSpace(unpruned).layers.map { ($0.name, $0.filters.count) }, uniquingKeysWith: { first, _ in first })
        var shares: [String: Double] = [:]
        for layer in FilterSpace(graph).layers {
            let kept = caps.filter { NamePattern($0.pattern).matches(layer.name) }.map(\.keptShare).max()
            guard let kept, let count = counts[layer.name] else { continue }
            // Shares such as 0.7 are not exact: 7 of 10 filters must not become 8.
            let least = (kept * Double(count) - 1e-9).rounded(.up)
            shares[layer.name] = min(1, least / Double(max(layer.filters.count, 1)))
        }
        return shares
    }
}
