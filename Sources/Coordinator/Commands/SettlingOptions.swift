import Shared

/// The option by which a run ends when its ranking is sure enough; `run` and `resume` share it.
struct SettlingOptions {
    /// The reliabilities that can be asked for.
    private static let reliabilities = 0.05...0.99

    @Option(
        "Stop when the ranking is this reliable (0 to 1: its expected squared correlation with the truth), "
            + "after at most --masks. 0.9 if neither is given.", value: "R") var untilReliability: Double?

    /// Complains of a number that cannot be. Throws a `.usage` ``Failure``.
    func validate() throws {
        if let untilReliability, !Self.reliabilities.contains(untilReliability) {
            throw Failure(
                .usage,
                "--until-reliability must be from \(Self.reliabilities.lowerBound) to \(Self.reliabilities.upperBound)")
        }
    }

    /// The reliability at which a run ends; nil where it ends after a given number of masks.
    func aim(masks: Int?, design: SamplingDesign) -> Double? {
        if let untilReliability { return untilReliability }
        return masks == nil && !design.comparesAllMasks ? Report.Verdict.filtersReliability : nil
    }
}
