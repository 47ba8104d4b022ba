import Shared

/// The options on how to remove a layer's filters, shared by `prune` and `compress`.
struct PruningRuleOptions {
    @Option("How scores of several filters in a layer add up: additive, scarce or curved.", value: "MODEL")
    var lossModel: LossModel = .scarce
    @Option("Share of its filters that every layer keeps; one always stays.", value: "SHARE")
    var keepAtLeast: Double = 0.1
    @Option("Round the number of filters that a pruned layer keeps to a multiple of this.", value: "M") var roundTo:
        Int = 1

    @Option(
        "Keep all filters of matching layers, or at least a share of them, such as 'layer3.*.conv1=0.5'. May "
            + "be repeated.", value: "PATTERN[=SHARE]") var keepLayer: [String]
    @Option(
        "Remove at most this share of the filters of matching layers, such as 'layer1=0.25'. May be repeated.",
        value: "PATTERN=SHARE") var removeAtMost: [String]

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        _ = try caps
        guard (0..<1).contains(keepAtLeast) else {
            throw Failure(.usage, "--keep-at-least must be a share, at least 0 and below 1")
        }
        guard (1...64).contains(roundTo) else { throw Failure(.usage, "--round-to must be from 1 to 64") }
    }

    /// The rules for a network. Throws a `.usage` ``Failure`` if they name layers that it does not have.
    func widths(for graph: Graph) throws -> WidthRules {
        let caps = try caps
        try LayerCap.check(caps, fit: graph)
        return WidthRules(
            leastShare: keepAtLeast, multiple: roundTo,
            leastShareOfLayer: LayerCap.leastShares(caps, in: graph, of: graph))
    }

    /// The caps of --keep-layer and --remove-at-most. Throws a `.usage` ``Failure``.
    var caps: [LayerCap] {
        get throws {
            try keepLayer.map { word in try Self.cap(word, option: "--keep-layer", otherwise: 1) { $0 } }
                + removeAtMost.map { word in try Self.cap(word, option: "--remove-at-most", otherwise: nil) { 1 - $0 } }
        }
    }

    private static func cap(
        _ word: String, option: String, otherwise: Double?, keptShare: (Double) -> Double
    ) throws -> LayerCap {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let share = parts.count == 2 ? Double(argument: String(parts[1])) : otherwise
        guard let pattern = parts.first, !pattern.isEmpty, let share, (0...1).contains(share) else {
            let form = otherwise == nil ? "PATTERN=SHARE" : "PATTERN or PATTERN=SHARE"
            throw Failure(.usage, "\(option) must be \(form) with a share from 0 to 1, not '\(word)'")
        }
        return LayerCap(pattern: String(pattern), keptShare: keptShare(share))
    }
}
