import Foundation
import Shared

/// A database file that a target writes again for every input, in memory where there is such a place, and that is gone
/// when the program ends.
struct ScratchFile: Sendable {
    let path: String
    private static let suffixes = ["", "-wal", "-shm", "-journal"]

    /// A file of a name that no other target uses.
    init(_ name: String) {
        let folder = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        path = "\(folder)/winnow-fuzz-\(getpid())-\(name)"
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
