import Shared

/// The option to stop a run when its ranking is reliable enough, shared by `run` and `resume`.
struct SettlingOptions {
    /// The valid reliabilities.
    private static let reliabilities = 0.05...0.99

    @Option(
        "Stop when the ranking is this reliable (0 to 1: its expected squared correlation with the truth), "
            + "after at most --masks. 0.9 if neither is given.", value: "R") var untilReliability: Double?

    /// Rejects an impossible number. Throws a `.usage` ``Failure``.
    func validate() throws {
        if let untilReliability, !Self.reliabilities.contains(untilReliability) {
            throw Failure(
                .usage,
                "--until-reliability must be from \(Self.reliabilities.lowerBound) to \(Self.reliabilities.upperBound)")
        }
    }

    /// The reliability at which a run stops; nil if it stops after a given number of masks.
    func aim(masks: Int?, design: SamplingDesign) -> Double? {
        if let untilReliability { return untilReliability }
        return masks == nil && !design.comparesAllMasks ? Report.Verdict.filtersReliability : nil
    }
}
