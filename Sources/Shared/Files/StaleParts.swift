import Foundation

/// Unfinished files left by killed programs beside the finished ones: `NAME.PID.part`.
public enum StaleParts {
    /// Seconds since the last write to a part: its process may be on another host that shares the folder.
    private static let quietSeconds: TimeInterval = 60

    /// The name of this process's unfinished `path`.
    public static func name(for path: String) -> String { "\(path).\(getpid()).part" }

    /// Removes the parts of `path` whose processes are gone, with SQLite's companion files.
    public static func remove(beside path: String) {
        let url = URL(fileURLWithPath: path)
        let folder = url.deletingLastPathComponent().path
        let prefix = url.lastPathComponent + "."
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(prefix) {
            let parts = name.dropFirst(prefix.count).split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, let process = pid_t(parts[0]), process > 0,
                ["part", "part-journal", "part-wal", "part-shm"].contains(parts[1]),
                kill(process, 0) != 0, errno == ESRCH
            else { continue }
            var status = stat()
            let part = "\(folder)/\(name)"
            guard lstat(part, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            let written = Date(timeIntervalSince1970: TimeInterval(status.st_mtim.tv_sec))
            if written.timeIntervalSinceNow < -quietSeconds { unlink(part) }
        }
    }
}
