import Shared

/// What an evaluation keeps for the next one: the activations behind the first stages of a residual network, under what
/// its masks disable there. A batch whose masks agree with that goes on from these activations; they are the same bits
/// that it would compute.
struct KeptPrefix {
    /// Activations of every block of some images, as a schedule lays them out.
    final class Activations {
        let start: Schedule.Start
        private let arena: Arena

        /// Memory for so many blocks. Throws an `.unavailable` ``Failure`` where there is none.
        init(_ start: Schedule.Start, blocks: Int) throws {
            self.start = start
            arena = try Arena(floats: blocks * start.floats)
        }

        /// Copies a block's activations from an arena, where they lie at `offset`. Threads may save different blocks.
        func save(_ block: Int, from source: Arena, at offset: Int) {
            (arena.base + block * start.floats).update(from: source.base + offset, count: start.floats)
        }

        /// Copies a block's activations to `offset` of an arena.
        func restore(_ block: Int, to target: Arena, at offset: Int) {
            (target.base + offset).update(from: arena.base + block * start.floats, count: start.floats)
        }

        /// The memory that it takes.
        var bytes: Int { arena.floats * MemoryLayout<Float>.stride }
    }

    /// The active filters of every layer of each stage that is decided.
    let stages: [[[Int]]]
    /// Of the images that are evaluated.
    let evaluated: Activations
    /// Of the calibration images, where there are any.
    let calibration: Activations?

    /// The memory that it takes.
    var bytes: Int { evaluated.bytes + (calibration?.bytes ?? 0) }
}

/// Foresees how many stages the next batch of masks will have in common with this one: as many as any of the last few
/// batches had with the one before it.
struct CommonStages {
    private static let remembered = 4

    private var previous: [[[Int]]] = []
    private var common: [Int] = []

    /// Takes note of the stages that all masks of a batch have in common, and returns how many of them to expect again.
    mutating func expected(after stages: [[[Int]]]) -> Int {
        common = common.suffix(Self.remembered - 1) + [zip(previous, stages).prefix { $0 == $1 }.count]
        previous = stages
        return min(common.max() ?? 0, stages.count)
    }
}
