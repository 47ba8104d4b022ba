import Foundation

/// Reading files that the user named, with errors that say what failed on which file.
public enum InputFile {
    /// The bytes of a whole file. Throws a `.badInput` ``Failure`` if it cannot be read or is longer than `bytesMax`,
    /// which is checked before memory is allocated.
    public static func bytes(at path: String, bytesMax: Int) throws -> [UInt8] {
        try withFile(path) { file, size in
            guard size <= bytesMax else {
                throw Failure(.badInput, "\(path): the file has \(size) bytes; the limit is \(bytesMax)")
            }
            return try read(file, count: size, from: 0, path: path)
        }
    }

    /// The first `count` bytes of a file, or all if there are fewer.
    public static func prefix(of path: String, count: Int) throws -> [UInt8] {
        try withFile(path) { file, size in try read(file, count: min(count, size), from: 0, path: path) }
    }

    /// A range of a file's bytes. Throws if the file is shorter.
    public static func bytes(at path: String, in range: Range<Int>) throws -> [UInt8] {
        try withFile(path) { file, size in
            guard range.upperBound <= size else {
                throw Failure(.badInput, "\(path): the file has \(size) bytes, but \(range.upperBound) are needed")
            }
            return try read(file, count: range.count, from: range.lowerBound, path: path)
        }
    }

    /// The size of a regular file in bytes.
    public static func size(of path: String) throws -> Int { try withFile(path) { _, size in size } }

    /// Whether a regular file exists and can be opened for reading.
    public static func isReadable(_ path: String) -> Bool { (try? size(of: path)) != nil }

    private static func withFile<Result>(_ path: String, _ body: (Int32, Int) throws -> Result) throws -> Result {
        let file = try retrying("open", path) { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        defer { close(file) }
        var status = stat()
        _ = try retrying("look at", path) { fstat(file, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.badInput, "\(path): not a regular file")
        }
        return try body(file, Int(status.st_size))
    }

    private static func read(_ file: Int32, count: Int, from start: Int, path: String) throws -> [UInt8] {
        let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count, let base = buffer.baseAddress {
                let got = try retrying("read", path) {
                    pread(file, base + filled, count - filled, off_t(start + filled))
                }
                if got == 0 { break }
                filled += got
            }
        }
        guard bytes.count == count else {
            throw Failure(.badInput, "\(path): the file shrank while it was read; try again")
        }
        return bytes
    }

    /// Calls the system, again when a signal came in between.
    private static func retrying<Count: SignedInteger>(
        _ action: String, _ path: String, _ call: () -> Count
    ) throws -> Count {
        while true {
            let result = call()
            if result >= 0 { return result }
            let code = errno
            if code == EINTR { continue }
            throw Failure(.badInput, "cannot \(action) \(path): \(String(cString: strerror(code)))")
        }
    }
}
