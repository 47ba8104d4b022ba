import Foundation
import Shared

/// A large piece of zeroed memory straight from the operating system, in large pages where it has them.
final class Arena {
    /// Its start.
    let base: UnsafeMutablePointer<Float>
    /// Floats that it holds.
    let floats: Int

    /// Takes memory. Throws an `.unavailable` ``Failure`` where there is none.
    init(floats: Int) throws {
        self.floats = floats
        let bytes = max(floats, 1) * MemoryLayout<Float>.stride
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else {
            throw Failure(.unavailable, "no memory for \(bytes >> 20) MB of activations; lower --memory-limit")
        }
        // A hint: without large pages it is only slower.
        _ = madvise(memory, bytes, MADV_HUGEPAGE)
        base = memory.bindMemory(to: Float.self, capacity: floats)
    }

    deinit { munmap(base, max(floats, 1) * MemoryLayout<Float>.stride) }
}

/// Plans where buffers lie in an arena, before there is one.
struct ArenaPlan {
    /// Every buffer starts at a multiple of this many floats, a cache line.
    static let alignment = 16

    /// The floats that an arena of this plan needs.
    private(set) var floats = 0
    /// Free pieces, ascending, never touching one another.
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
        var start = floats
        if let last = free.last, last.upperBound == floats {
            start = last.lowerBound
            free.removeLast()
        }
        floats = start + size
        return start..<floats
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
