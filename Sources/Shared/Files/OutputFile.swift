import Foundation

/// Writes a file that appears under its name only when complete: until then its content is in a file beside it, which
/// is removed on failure. An existing path that is not a regular file (`/dev/stdout`) is written directly.
public final class OutputFile {
    /// Bytes to buffer before writing.
    private static let bufferBytes = 1 << 16

    private let path: String
    private let partPath: String
    /// Whether the file takes its name when complete.
    private let isReplacing: Bool
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private var isFinished = false

    /// Starts a file. Another process's unfinished one has another name. Throws an `.unavailable` ``Failure`` if it
    /// cannot be created.
    public init(_ path: String) throws {
        self.path = path
        var status = stat()
        isReplacing = stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
        if isReplacing { StaleParts.remove(beside: path) }
        partPath = isReplacing ? StaleParts.name(for: path) : path
        descriptor = open(partPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.failure("make", path) }
        buffer.reserveCapacity(Self.bufferBytes)
    }

    /// Writes a whole file. Throws an `.unavailable` ``Failure`` on failure.
    public static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try OutputFile(path)
        try file.write(bytes)
        try file.finish()
    }

    /// Adds a text.
    public func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// Adds bytes.
    public func write(_ bytes: [UInt8]) throws {
        precondition(!isFinished, "the file is finished")
        if bytes.count >= Self.bufferBytes {
            // Images of gigabytes are not to be there twice.
            try flush()
            return try put(bytes)
        }
        buffer += bytes
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// Flushes the rest to disk and gives the file its name. Throws if there is no space.
    public func finish() throws {
        try flush()
        guard !isReplacing || fsync(descriptor) == 0 else { throw Self.failure("write", path) }
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else { throw Self.failure("write", path) }
        guard !isReplacing || rename(partPath, path) == 0 else { throw Self.failure("make", path) }
        isFinished = true
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if isReplacing && !isFinished { unlink(partPath) }
    }

    private func flush() throws {
        try put(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    private func put(_ bytes: [UInt8]) throws {
        var written = 0
        while written < bytes.count {
            let result = bytes.withUnsafeBytes { bytes in
                Foundation.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if result < 0 {
                if errno == EINTR { continue }
                throw Self.failure("write", path)
            }
            written += result
        }
    }

    private static func failure(_ action: String, _ path: String) -> Failure {
        Failure(.unavailable, "cannot \(action) \(path): \(String(cString: strerror(errno)))")
    }
}
