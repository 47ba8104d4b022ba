import Foundation
import Shared

extension RunFile {
    /// Writes all that was committed, what stands in the log too, into one file of its own, which appears when it is
    /// whole. A coordinator may go on with this one meanwhile. Throws a ``Failure`` where `target` exists or cannot be
    /// written.
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

    /// The file beside it that holds evaluations which the run file itself does not have yet; nil where there is none.
    public var log: String? {
        let log = "\(path)-wal"
        return (try? InputFile.size(of: log)) ?? 0 > 0 ? log : nil
    }

    /// Moves what stands in the log into the file itself, as far as no reader prevents it, so that little is missing
    /// from a copy of the file alone.
    func shortenLog() { try? database.execute("PRAGMA wal_checkpoint(PASSIVE)", "shorten the log of") }
}
