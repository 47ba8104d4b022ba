import Shared

/// The options that say how filters of a layer go; `prune` and `compress` share them.
struct PruningRuleOptions {
    @Option("How the scores of many filters of one layer add up: additive, scarce or curved.", value: "MODEL")
    var lossModel: LossModel = .scarce
    @Option("The share of its filters that every layer keeps at least; one always stays.", value: "SHARE")
    var keepAtLeast: Double = 0.1
    @Option("Round the filters that a pruned layer keeps to a multiple of this.", value: "M") var roundTo: Int = 1

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        guard (0..<1).contains(keepAtLeast) else {
            throw Failure(.usage, "--keep-at-least must be a share, at least 0 and below 1")
        }
        guard (1...64).contains(roundTo) else { throw Failure(.usage, "--round-to must be from 1 to 64") }
    }
}
