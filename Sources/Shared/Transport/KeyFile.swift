import Foundation

/// Files of keys: one line, `winnow-public-key KEY` or `winnow-secret-key KEY`.
///
/// Secret keys never come from the command line, which other users of a host can read.
public enum KeyFile {
    /// Bytes of the largest file to read.
    private static let sizeMax = 4096
    private static let publicLabel = "winnow-public-key"
    private static let secretLabel = "winnow-secret-key"

    /// Reads a public key. Throws a `.badInput` ``Failure``.
    public static func publicKey(at path: String) throws -> CurveKey {
        try key(publicLabel, other: secretLabel, in: read(path), from: path)
    }

    /// Reads a secret key from a file that only its owner may read; if the owner is another user, as for a secret that
    /// a system hands to a group (Kubernetes' `fsGroup`), the group may read it too. Throws a `.badInput` ``Failure``.
    public static func secretKey(at path: String) throws -> KeyPair {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if path.split(separator: " ").last.flatMap({ CurveKey(text: String($0)) }) != nil {
                throw Failure(
                    .badInput,
                    "a key was given instead of its file's name, and others can read the command line; make a "
                        + "new one ('winnow-coordinator keygen')")
            }
            throw Failure(.badInput, "cannot read the key file \(path): \(String(cString: strerror(errno)))")
        }
        let isHandedOver = status.st_uid != geteuid()
        guard status.st_mode & (isHandedOver ? 0o037 : 0o077) == 0 else {
            throw Failure(
                .badInput,
                "others than its owner can read the key file \(path); make it private: chmod 600 \(path)")
        }
        return try KeyPair(secret: key(secretLabel, other: publicLabel, in: read(path), from: path))
    }

    /// The secret key in an environment variable, or nil if there is none. Throws a `.badInput` ``Failure``.
    public static func secretKey(inEnvironment name: String) throws -> KeyPair? {
        try publicKey(inEnvironment: name).map { try KeyPair(secret: $0) }
    }

    /// The public key in an environment variable, or nil if there is none. Throws a `.badInput` ``Failure``.
    public static func publicKey(inEnvironment name: String) throws -> CurveKey? {
        guard let text = ProcessInfo.processInfo.environment[name] else { return nil }
        guard let key = CurveKey(text: text) else {
            throw Failure(
                .badInput, "the environment variable \(name) is not a key of \(CurveKey.textLength) characters")
        }
        return key
    }

    /// Writes `NAME.key` (mode 600) and `NAME.pub` to a folder. Throws a ``Failure`` if one exists already.
    public static func write(_ keys: KeyPair, name: String, toFolder folder: String) throws {
        try write("\(secretLabel) \(keys.secret.text)\n", to: "\(folder)/\(name).key", mode: 0o600)
        try write("\(publicLabel) \(keys.public.text)\n", to: "\(folder)/\(name).pub", mode: 0o644)
    }

    private static func write(_ text: String, to path: String, mode: mode_t) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, mode)
        guard descriptor >= 0 else {
            let reason =
                errno == EEXIST ? "it exists already; keys are never overwritten" : String(cString: strerror(errno))
            throw Failure(.unavailable, "cannot write \(path): \(reason)")
        }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Foundation.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno)))")
        }
    }

    private static func read(_ path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: sizeMax) else {
            throw Failure(.badInput, "cannot read the key file \(path)")
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func key(_ label: String, other: String, in text: String, from path: String) throws -> CurveKey {
        let words = text.split(whereSeparator: \.isWhitespace)
        if words.first.map(String.init) == other {
            throw Failure(.badInput, "\(path) holds a \(other), but a \(label) is needed")
        }
        guard words.count == 2, words[0] == label, let key = CurveKey(text: String(words[1])) else {
            throw Failure(.badInput, "\(path) is not a key file ('winnow-coordinator keygen' makes them)")
        }
        return key
    }
}
