import Foundation
import Shared

/// Creates a database that appears under its name when complete: a crash leaves nothing that could be taken for one.
enum WholeFile {
    /// Lets `write` fill another path beside `path`, and gives the file its name. Throws what `write` throws, `exists`
    /// if there is such a file, which is never replaced, or a `.badInput` ``Failure``.
    static func make(at path: String, ifThere exists: Failure, _ write: (String) throws -> Void) throws {
        guard access(path, F_OK) != 0 else { throw exists }
        StaleParts.remove(beside: path)
        let part = StaleParts.name(for: path)
        func remove() { for suffix in ["", "-journal"] { unlink(part + suffix) } }
        remove()
        defer { remove() }
        try write(part)
        // A link never replaces a file made by another process meanwhile. Some file systems have no links.
        if link(part, path) != 0 {
            guard errno != EEXIST, access(path, F_OK) != 0 else { throw exists }
            guard rename(part, path) == 0 else {
                throw Failure(.badInput, "cannot make \(path): \(String(cString: strerror(errno)))")
            }
        }
    }
}
