import Foundation

/// Named arrays: the entries of a `.npz` file, or the `.npy` files of a folder.
enum NumpyContainer {
    case zip(String)
    case folder(String)

    /// The container at a path; nil where there is none. A file that ends otherwise than in `.npz` must be said to be one.
    init?(at path: String, isNamed: Bool = false) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
        if isFolder.boolValue {
            self = .folder(path)
        } else if path.hasSuffix(".npz") || isNamed {
            self = .zip(path)
        } else {
            return nil
        }
    }

    /// The names of its arrays. Throws a `.badInput` ``Failure``.
    func names() throws -> Set<String> {
        let files: [String]
        switch self {
        case .zip(let path): files = try ZipArchive(at: path).entries().map(\.name)
        case .folder(let path): files = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        }
        return Set(files.filter { $0.hasSuffix(".npy") }.map { String($0.dropLast(4)) })
    }

    /// An array with its header read; nil if there is none of that name. Throws a `.badInput` ``Failure``.
    func array(_ name: String) throws -> NumpyArray? {
        switch self {
        case .zip(let path): try ZipEntryFile(of: path, "\(name).npy").map { try NumpyArray($0) }
        case .folder(let path):
            InputFile.isReadable("\(path)/\(name).npy") ? try NumpyArray(GzipFile("\(path)/\(name).npy")) : nil
        }
    }
}
