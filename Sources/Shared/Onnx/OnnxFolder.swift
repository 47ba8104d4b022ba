import Foundation

extension Onnx {
    /// A model's folder, for tensors in other files beside it.
    struct Folder {
        /// The folder, without symbolic links.
        private let path: String

        /// The folder of a model's path. Throws if there is none.
        init(of model: String) throws {
            let folder = URL(fileURLWithPath: model).deletingLastPathComponent().path
            guard let path = Self.resolved(folder) else {
                throw Failure(.badInput, "there is no folder \(folder)")
            }
            self.path = path
        }

        /// Bytes of a file known to be within the folder.
        struct Place {
            fileprivate let path: String
            fileprivate let range: Range<Int>
        }

        /// Where `size` bytes are, according to the model. Throws if the place is outside the folder or the file, or
        /// has another size.
        func place(_ entries: [String: String], size: Int) throws -> Place {
            guard let location = entries["location"], !location.isEmpty else {
                throw Failure(.badInput, "its elements are in another file, and the model does not say in which")
            }
            let parts = location.split(separator: "/", omittingEmptySubsequences: false)
            guard !location.hasPrefix("/"), !parts.contains(".."), !location.contains("\0") else {
                throw Failure(.badInput, "its elements are in \(location), outside the model's folder")
            }
            guard let file = Self.resolved("\(path)/\(location)") else {
                throw Failure(.badInput, "its elements are in \(location), which is missing beside the model")
            }
            guard file.hasPrefix(path == "/" ? "/" : path + "/") else {
                throw Failure(.badInput, "its elements are in \(location), a link that leaves the model's folder")
            }
            let offset = try Self.number(entries["offset"]) ?? 0
            let fileSize = try InputFile.size(of: file)
            guard offset <= fileSize, size <= fileSize - offset else {
                throw Failure(
                    .badInput,
                    "its \(size) bytes from byte \(offset) of \(location) on reach beyond the file's \(fileSize)")
            }
            let length = try Self.number(entries["length"])
            guard length == nil || length == size else {
                throw Failure(.badInput, "its shape needs \(size) bytes, \(location) has \(length ?? 0) for it")
            }
            return Place(path: file, range: offset..<offset + size)
        }

        /// Reads bytes that were found.
        func bytes(at place: Place) throws -> [UInt8] { try InputFile.bytes(at: place.path, in: place.range) }

        private static func number(_ text: String?) throws -> Int? {
            guard let text else { return nil }
            guard let number = Int(text), number >= 0 else {
                throw Failure(.badInput, "its place \"\(text.prefix(20))\" is not a number")
            }
            return number
        }

        /// A path without symbolic links, or nil if there is nothing.
        private static func resolved(_ path: String) -> String? {
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            return String(cString: resolved)
        }
    }
}
