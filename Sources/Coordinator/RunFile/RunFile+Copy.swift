import Foundation
import Shared

extension RunFile {
    /// Writes everything committed, including the log, into a single file, which appears when complete. A coordinator
    /// may keep working on this one. Throws a ``Failure`` if `target` exists or cannot be written.
    public func copy(to target: String) throws {
        guard access(target, F_OK) != 0 else {
            throw Failure(.usage, "\(target) exists already; name another file for the copy")
        }
        try OutputGuard(reading: [path]).check(target)
        let part = "\(target).\(getpid()).part"
        unlink(part)
        defer { unlink(part) }
        try Self.translated { try database.prepare("VACUUM INTO ?", "copy").run(.text(part)) }
        guard rename(part, target) == 0 else {
            throw Failure(.unavailable, "cannot make \(target): \(String(cString: strerror(errno)))")
        }
    }

    /// The file beside it with evaluations that the run file itself lacks; nil if there is none.
    public var log: String? {
        let log = "\(path)-wal"
        return (try? InputFile.size(of: log)) ?? 0 > 0 ? log : nil
    }

    /// Moves the log into the file itself, as far as no reader prevents it, so that a copy of the file alone lacks
    /// little.
    func shortenLog() { try? database.execute("PRAGMA wal_checkpoint(PASSIVE)", "shorten the log of") }
}
