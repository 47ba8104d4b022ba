/// A set of indices below a limit that finds the next member quickly: a bit for each index, above that a bit for each
/// word that is not zero, and so on.
struct PendingSet: Sendable {
    private var levels: [[UInt64]] = []
    /// Members.
    private(set) var count = 0

    /// An empty set of indices below a limit.
    init(limit: Int) {
        var size = limit
        repeat {
            size = (size + 63) / 64
            levels.append([UInt64](repeating: 0, count: max(size, 1)))
        } while size > 1
    }

    var isEmpty: Bool { count == 0 }

    /// O(1).
    func contains(_ index: Int) -> Bool { levels[0][index >> 6] >> UInt64(index & 63) & 1 == 1 }

    /// O(levels).
    mutating func insert(_ index: Int) {
        guard !contains(index) else { return }
        count += 1
        var position = index
        for level in levels.indices {
            levels[level][position >> 6] |= 1 << UInt64(position & 63)
            position >>= 6
        }
    }

    /// O(levels).
    mutating func remove(_ index: Int) {
        guard contains(index) else { return }
        count -= 1
        var position = index
        for level in levels.indices {
            levels[level][position >> 6] &= ~(1 << UInt64(position & 63))
            guard levels[level][position >> 6] == 0 else { return }
            position >>= 6
        }
    }

    /// The least member not below an index, or nil. O(levels).
    func first(from start: Int) -> Int? {
        var position = start
        var level = 0
        // Up until a word has a member at or after the position, then down along the least bits.
        while true {
            guard level < levels.count, position >> 6 < levels[level].count else { return nil }
            let word = levels[level][position >> 6] >> UInt64(position & 63)
            if word != 0 {
                position += word.trailingZeroBitCount
                break
            }
            position = position >> 6 + 1
            level += 1
        }
        while level > 0 {
            level -= 1
            position = position << 6 + levels[level][position].trailingZeroBitCount
        }
        return position
    }
}
