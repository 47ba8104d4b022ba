/// Pieces of an arena, kept for every block of some images.
class BlockValues {
    private let lines: Int
    private let lanes: Int
    private let arena: Arena

    /// Memory for this many blocks of pieces with this many lines in all. Throws an `.unavailable` ``Failure`` if there
    /// is none.
    init(lines: Int, blocks: Int, lanes: Int) throws {
        self.lines = lines
        self.lanes = lanes
        arena = try Arena(floats: blocks * lines * lanes)
    }

    /// Copies a block's values from pieces of an arena. Threads may save different blocks.
    func save(_ block: Int, from source: Arena, at pieces: [Range<Int>]) {
        var target = arena.base + block * lines * lanes
        for piece in pieces {
            target.update(from: source.base + piece.lowerBound * lanes, count: piece.count * lanes)
            target += piece.count * lanes
        }
    }

    /// Copies a block's values to pieces of an arena.
    func restore(_ block: Int, to target: Arena, at pieces: [Range<Int>]) {
        var source = arena.base + block * lines * lanes
        for piece in pieces {
            (target.base + piece.lowerBound * lanes).update(from: source, count: piece.count * lanes)
            source += piece.count * lanes
        }
    }

    /// The memory that it takes.
    var bytes: Int { arena.floats * MemoryLayout<Float>.stride }
}
