import Foundation
import Shared

/// A database file that a target rewrites for every input, in memory if possible, and that is gone when the program
/// ends.
struct ScratchFile: Sendable {
    let path: String
    private static let suffixes = ["", "-wal", "-shm", "-journal"]

    /// A path of that name, in memory if possible.
    fileprivate static func path(_ name: String) -> String {
        let folder = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        return "\(folder)/winnow-fuzz-\(getpid())-\(name)"
    }

    /// A file of a name that no other target uses.
    init(_ name: String) {
        path = Self.path(name)
        Self.made.withLock { $0.append(path) }
        atexit { for path in ScratchFile.made.withLock({ $0 }) { ScratchFile.remove(path) } }
    }

    private static let made = Locked<[String]>([])

    private static func remove(_ path: String) { for suffix in suffixes { unlink(path + suffix) } }

    func remove() { Self.remove(path) }

    /// Replaces the file.
    func write(_ bytes: [UInt8]) {
        remove()
        precondition(FileManager.default.createFile(atPath: path, contents: Data(bytes)), "\(path) can be written")
    }

    /// What is in the file.
    func bytes() throws -> [UInt8] { try InputFile.bytes(at: path, bytesMax: 1 << 24) }
}

/// A folder whose files a target rewrites for every input, and that is gone when the program ends.
struct ScratchFolder: Sendable {
    let path: String

    /// A folder of a name that no other target uses.
    init(_ name: String) {
        path = ScratchFile.path(name)
        empty()
        Self.made.withLock { $0.append(path) }
        atexit { for path in ScratchFolder.made.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: path) } }
    }

    private static let made = Locked<[String]>([])

    /// Removes what is in it.
    func empty() {
        try? FileManager.default.removeItem(atPath: path)
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Writes a file in it.
    func write(_ bytes: [UInt8], _ name: String) {
        precondition(
            FileManager.default.createFile(atPath: "\(path)/\(name)", contents: Data(bytes)), "\(path) can be written")
    }
}
