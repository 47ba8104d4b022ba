import CLinux
import Foundation

/// Notices when this process takes much more memory than before, as when peers send messages that never end, or want
/// much and read nothing: libzmq holds both, without a limit that could be set.
struct MemoryGuard {
    /// Bytes by which the process may grow.
    static let growthMax = 512 << 20

    private let growthMax: Int
    private var base: Int?

    /// A guard of a process that may grow by so many bytes.
    init(growthMax: Int = growthMax) { self.growthMax = growthMax }

    /// Whether the process has grown too much since the last time that it had, or since the guard first looked.
    mutating func isExceeded(_ resident: Int? = residentBytes()) -> Bool {
        guard let resident else { return false }
        let base = min(self.base ?? resident, resident)
        self.base = base
        return resident - base > growthMax
    }

    /// What to tell the user when all connections are closed.
    static let complaint =
        "peers make this process hold more than \(growthMax >> 20) MB; all connections are closed, and workers connect "
        + "again"

    /// To be called when all that could be given back was: what the process takes now, it needs.
    mutating func settle() {
        winnow_trim_memory()
        if isExceeded() { base = Self.residentBytes() }
    }

    /// The memory of this process that is in the machine, in bytes; nil where the system does not say.
    static func residentBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } : nil
    }
}
