/// Plans the places of buffers in an arena before it exists.
struct ArenaPlan {
    /// Every buffer starts at a multiple of this many lines, so a narrow vector's buffers begin at a cache line.
    static let alignment = 2

    /// The lines of an arena for this plan.
    private(set) var lines = 0
    /// Free pieces, ascending, never adjacent.
    private var free: [Range<Int>] = []

    /// Takes the first free piece that is large enough. O(pieces).
    mutating func take(_ count: Int) -> Range<Int> {
        let size = (count + Self.alignment - 1) / Self.alignment * Self.alignment
        if let index = free.firstIndex(where: { $0.count >= size }) {
            let taken = free[index].lowerBound..<free[index].lowerBound + size
            if free[index].count == size {
                free.remove(at: index)
            } else {
                free[index] = taken.upperBound..<free[index].upperBound
            }
            return taken
        }
        var start = lines
        if let last = free.last, last.upperBound == lines {
            start = last.lowerBound
            free.removeLast()
        }
        lines = start + size
        return start..<lines
    }

    /// Gives a piece back. O(pieces).
    mutating func release(_ piece: Range<Int>) {
        var piece = piece
        let index = free.firstIndex { $0.lowerBound >= piece.upperBound } ?? free.count
        if index < free.count, free[index].lowerBound == piece.upperBound {
            piece = piece.lowerBound..<free[index].upperBound
            free.remove(at: index)
        }
        if index > 0, free[index - 1].upperBound == piece.lowerBound {
            free[index - 1] = free[index - 1].lowerBound..<piece.upperBound
        } else {
            free.insert(piece, at: index)
        }
    }
}
