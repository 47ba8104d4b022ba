import Foundation

/// Checks a command's outputs before it computes anything: it never overwrites an input, overwrites a network or a run
/// only if the user says so, and detects an unwritable folder at once.
public struct OutputGuard {
    private let inputs: [String]
    private let isForced: Bool

    /// For a command that reads `inputs` (nil for those not given); `isForced` lets it replace networks.
    public init(reading inputs: [String?], isForced: Bool = false) {
        self.inputs = inputs.compactMap { $0 }
        self.isForced = isForced
    }

    /// Checks an output file; nil if not requested. Throws a ``Failure`` that says what is in the way.
    public func check(_ path: String?) throws {
        guard let path else { return }
        var status = stat()
        guard stat(path, &status) == 0 else { return try Self.checkFolder(of: path) }
        for input in inputs where Self.isSame(status, input) {
            throw Failure(.usage, "\(path) is an input of this command; choose another output file")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            guard status.st_mode & S_IFMT != S_IFDIR else { throw Failure(.usage, "\(path) is a folder, not a file") }
            return
        }
        guard isForced || !Self.isPrecious(path) else {
            throw Failure(
                .usage, "\(path) already holds a network or a run; name another file, or replace it with --force")
        }
        try Self.checkFolder(of: path)
    }

    /// Creates a folder if it is missing, and checks that files can be created in it. Throws an `.unavailable`
    /// ``Failure``.
    public static func prepareFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch { throw Failure(.unavailable, "cannot make the folder \(path): \(error.localizedDescription)") }
        guard access(path, W_OK | X_OK) == 0 else { throw notWritable(path) }
    }

    private static func checkFolder(of path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        let place = folder.isEmpty ? "." : folder
        guard access(place, F_OK) == 0 else {
            throw Failure(.unavailable, "cannot write \(path): the folder \(place) does not exist")
        }
        guard access(place, W_OK | X_OK) == 0 else { throw notWritable(place) }
    }

    private static func notWritable(_ folder: String) -> Failure {
        Failure(.unavailable, "cannot write to the folder \(folder): \(String(cString: strerror(errno)))")
    }

    private static func isSame(_ status: stat, _ path: String) -> Bool {
        var other = stat()
        return stat(path, &other) == 0 && other.st_dev == status.st_dev && other.st_ino == status.st_ino
    }

    /// Whether a file begins like a network or run file. An unreadable one may be.
    private static func isPrecious(_ path: String) -> Bool {
        guard let start = try? InputFile.prefix(of: path, count: 16) else { return true }
        if start.starts(with: [0x50, 0x4B]) || start.first == 0x80 { return true }  // zip, pickle
        if start.starts(with: Array("SQLite format 3".utf8)) { return true }
        if start.count > 8, start[8] == UInt8(ascii: "{"), start[4..<8].allSatisfy({ $0 == 0 }) { return true }
        // ONNX: the version field comes first.
        return start.count > 1 && start[0] == 0x08 && start[1] < 32
    }
}
