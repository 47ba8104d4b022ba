import CLinux
import Foundation

/// Detects when this process takes much more memory than before, as when peers send endless messages, or request much
/// and read nothing: libzmq buffers both, without a configurable limit.
struct MemoryGuard {
    /// Bytes by which the process may grow.
    static let growthMax = 512 << 20

    private let growthMax: Int
    private var base: Int?

    /// A guard of a process that may grow by this many bytes.
    init(growthMax: Int = growthMax) { self.growthMax = growthMax }

    /// Whether the process has grown too much since it last did, or since the guard's first look.
    mutating func isExceeded(_ resident: Int? = residentBytes()) -> Bool {
        guard let resident else { return false }
        let base = min(self.base ?? resident, resident)
        self.base = base
        return resident - base > growthMax
    }

    /// The message to the user when all connections are closed.
    static let complaint =
        "peers make this process hold more than \(growthMax >> 20) MB; closing all connections, workers will reconnect"

    /// Call it once everything possible was freed: the memory still in use is needed.
    mutating func settle() {
        winnow_trim_memory()
        if isExceeded() { base = Self.residentBytes() }
    }

    /// The resident memory of this process, in bytes; nil if the system does not say.
    static func residentBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } : nil
    }
}
