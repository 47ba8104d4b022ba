import Shared

/// What an evaluation keeps for the next one: the values after the first cuts of a network, under what its masks
/// disable there. A batch with matching masks starts from these values; they are the same bits that it would compute.
struct KeptPrefix {
    /// Values of every block of some images, as a schedule lays them out.
    final class Values: BlockValues {
        let start: Schedule.Start

        /// Memory for this many blocks. Throws an `.unavailable` ``Failure`` if there is none.
        init(_ start: Schedule.Start, blocks: Int, lanes: Int) throws {
            self.start = start
            try super.init(lines: start.lines, blocks: blocks, lanes: lanes)
        }
    }

    /// The active filters of every layer of each decided cut.
    let cuts: [[[Int]]]
    /// Of the evaluation images.
    let evaluated: Values
    /// Of the calibration images, if any.
    let calibration: Values?

    /// The memory that it takes.
    var bytes: Int { evaluated.bytes + (calibration?.bytes ?? 0) }
}

/// Predicts how many cuts the next batch of masks shares with this one: as many as any of the last few batches shared
/// with its predecessor.
struct CommonCuts {
    private static let remembered = 4

    private var previous: [[[Int]]] = []
    private var common: [Int] = []

    /// Records the cuts that all masks of a batch share, and returns how many of them to expect again.
    mutating func expected(after cuts: [[[Int]]]) -> Int {
        common = common.suffix(Self.remembered - 1) + [zip(previous, cuts).prefix { $0 == $1 }.count]
        previous = cuts
        return min(common.max() ?? 0, cuts.count)
    }
}
