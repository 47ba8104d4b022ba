import Foundation
import Shared

/// A large area of zeroed memory straight from the operating system, in large pages if it has them.
final class Arena {
    /// Its start.
    let base: UnsafeMutablePointer<Float>
    /// Floats that it holds.
    let floats: Int

    /// Allocates memory. Throws an `.unavailable` ``Failure`` with a remedy if there is none.
    init(floats: Int, advice: String = "lower --memory-limit") throws {
        self.floats = floats
        let bytes = max(floats, 1) * MemoryLayout<Float>.stride
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else {
            throw Failure(.unavailable, "no memory for \(bytes >> 20) MB of activations; \(advice)")
        }
        // A hint: without large pages it is only slower.
        _ = madvise(memory, bytes, MADV_HUGEPAGE)
        base = memory.bindMemory(to: Float.self, capacity: floats)
    }

    deinit { munmap(base, max(floats, 1) * MemoryLayout<Float>.stride) }
}
