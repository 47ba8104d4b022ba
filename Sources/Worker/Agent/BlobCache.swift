import Foundation
import Shared

/// Networks and images on a worker's disk, by their SHA-256 digests.
///
/// A file is written beside its place and renamed, and verified when read, so a killed worker or a damaged disk leaves
/// nothing that could be mistaken for the real thing.
struct BlobCache {
    /// The default limit on the bytes of all files together.
    static let defaultBytesMax: Int64 = 4 << 30

    /// Where the files are.
    let folder: String
    let bytesMax: Int64

    /// `$XDG_CACHE_HOME/winnow` or `~/.cache/winnow`.
    static var defaultFolder: String {
        let environment = ProcessInfo.processInfo.environment
        if let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") { return "\(base)/winnow" }
        return (environment["HOME"] ?? NSTemporaryDirectory()) + "/.cache/winnow"
    }

    /// Uses a folder and creates it if missing. Throws an `.unavailable` ``Failure``.
    init(folder: String, bytesMax: Int64 = defaultBytesMax) throws {
        self.folder = folder
        self.bytesMax = bytesMax
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Failure(.unavailable, "cannot create the cache folder \(folder): choose another one with --cache")
        }
    }

    /// The bytes of a digest, or nil if they are not here; a file with other bytes is removed.
    func bytes(of digest: Digest, size: UInt64) -> [UInt8]? {
        let path = path(of: digest)
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            (attributes[.size] as? NSNumber)?.uint64Value == size,
            let bytes = try? InputFile.bytes(at: path, bytesMax: Int(clamping: size))
        else { return nil }
        guard Digest(sha256Of: bytes) == digest else {
            unlink(path)
            return nil
        }
        // The time of the last use decides which files go first.
        utimes(path, nil)
        return bytes
    }

    /// Keeps the bytes of a digest; evicts other files if there is no room. Throws an `.unavailable` ``Failure``.
    func store(_ bytes: [UInt8], as digest: Digest) throws {
        try makeRoom(for: Int64(bytes.count))
        let temporary = "\(folder)/\(getpid())-\(UInt64.random(in: .min ... .max)).part"
        do {
            try OutputFile.write(bytes, to: temporary)
            guard rename(temporary, path(of: digest)) == 0 else { throw CocoaError(.fileWriteUnknown) }
        } catch {
            unlink(temporary)
            throw Failure(.unavailable, "cannot write to the cache folder \(folder); is the disk full?")
        }
    }

    private func path(of digest: Digest) -> String { "\(folder)/\(digest)" }

    /// Removes the least recently used files until there is room, and parts of files left by workers killed a day ago
    /// or more.
    private func makeRoom(for bytes: Int64) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        var files: [(path: String, size: Int64, used: Date)] = []
        for name in names {
            let path = "\(folder)/\(name)"
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
                let used = attributes[.modificationDate] as? Date, let size = attributes[.size] as? NSNumber
            else { continue }
            if name.hasSuffix(".part") {
                if used.timeIntervalSinceNow < -86_400 { unlink(path) }
            } else if Digest(hex: name) != nil {
                files.append((path, size.int64Value, used))
            }
        }
        var total = files.reduce(bytes) { $0 + $1.size }
        for file in files.sorted(by: { $0.used < $1.used }) where total > bytesMax {
            unlink(file.path)
            total -= file.size
        }
    }
}
