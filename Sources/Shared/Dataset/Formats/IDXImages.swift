import Foundation

/// MNIST's IDX files, raw or gzip-compressed: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and `t10k-…` or
/// `test-…`, with any prefix (`emnist-letters-train-…`).
struct IDXImages: ImageReader {
    private static let imagesEnding = "-images-idx3-ubyte"
    private static let labelsEnding = "-labels-idx1-ubyte"
    /// The most labels of a file: far more than any data set of this format has.
    private static let imagesMax = 1 << 24

    /// A file of images and one of labels, with their headers read.
    private struct Part {
        let images: String
        let labels: [UInt8]
        let height: Int
        let width: Int
    }

    let format = ImageFormat.idx
    let layout: ImageLayout
    let normalisation = Normalisation.mnist
    /// A mirrored digit or letter is a different one, or none.
    let mayBeMirrored = false
    private let parts: [EvaluationSettings.Split: Part]
    private let path: String

    /// The files in a folder, in `raw` below it, or in `MNIST/raw` below it; or those in a folder whose names begin
    /// with the path's last component. Nil if there are none; throws a `.badInput` ``Failure`` if there are several
    /// data sets.
    init?(at path: String) throws {
        let url = URL(fileURLWithPath: path)
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        if exists && !isFolder.boolValue { return nil }
        let folders =
            exists
            ? [path, "\(path)/raw"] : [url.deletingLastPathComponent().path]
        let prefix = exists ? "" : url.lastPathComponent + "-"
        var found: [(split: EvaluationSettings.Split, base: String, images: String, labels: String)] = []
        for folder in folders where found.isEmpty {
            found = try Self.files(in: folder, prefix: prefix)
        }
        if found.isEmpty, exists {
            // torchvision's root, with a folder for each data set.
            let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            found = try names.sorted().flatMap { try Self.files(in: "\(path)/\($0)/raw", prefix: prefix) }
        }
        if found.isEmpty { return nil }
        let bases = Set(found.map(\.base)).sorted()
        guard bases.count == 1 else {
            throw Failure(
                .badInput,
                "\(path) holds several data sets; name one: "
                    + bases.map { $0.hasSuffix("-") ? String($0.dropLast()) : $0 }.joined(separator: ", "))
        }
        var parts: [EvaluationSettings.Split: Part] = [:]
        for file in found { parts[file.split] = try Self.look(at: file.images, file.labels) }
        let all = Array(parts.values)
        guard let first = all.first, all.allSatisfy({ ($0.height, $0.width) == (first.height, first.width) }) else {
            throw Failure(.badInput, "\(path): training and test images differ in size")
        }
        layout = ImageLayout(
            shape: Shape(channels: 1, height: first.height, width: first.width),
            classes: 1 + Int(all.compactMap { $0.labels.max() }.max() ?? 0))
        self.parts = parts
        self.path = path
    }

    func has(_ split: EvaluationSettings.Split) -> Bool { parts[split] != nil }

    func place(ofLabelFrom least: Int) -> String? {
        [EvaluationSettings.Split.train, .test].lazy.compactMap { parts[$0] }.compactMap { part in
            part.labels.firstIndex { $0 >= least }.map { "image \($0) of \(part.images)" }
        }.first
    }

    func count(_ split: EvaluationSettings.Split) throws -> Int { try part(split).labels.count }

    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet {
        let part = try part(split)
        let (file, _) = try Self.open(part.images, dimensions: 3)
        return try ImageSet(layout, split: split, count: count) { labels, pixels in
            for image in 0..<count { labels[image] = Int32(part.labels[image]) }
            try file.fill(pixels)
            if count == part.labels.count { try file.finish() }
        }
    }

    private func part(_ split: EvaluationSettings.Split) throws -> Part {
        guard let part = parts[split] else {
            throw Failure(
                .badInput,
                "\(path) has no \(split == .test ? "t10k" : "train")\(Self.imagesEnding) beside its other files")
        }
        return part
    }

    /// Pairs of files, raw ones before compressed ones.
    private static func files(
        in folder: String, prefix: String
    ) throws -> [(split: EvaluationSettings.Split, base: String, images: String, labels: String)] {
        let names = Set((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
        var found: [(split: EvaluationSettings.Split, base: String, images: String, labels: String)] = []
        for name in names.sorted() where name.hasPrefix(prefix) {
            let isCompressed = name.hasSuffix(".gz")
            let raw = isCompressed ? String(name.dropLast(3)) : name
            if isCompressed && names.contains(raw) { continue }
            guard raw.hasSuffix(imagesEnding) else { continue }
            let stem = String(raw.dropLast(imagesEnding.count))
            guard let (word, split) = splits.first(where: { stem == $0.0 || stem.hasSuffix("-\($0.0)") }) else {
                continue
            }
            let labels = stem + labelsEnding
            guard let labelsName = [labels, labels + ".gz"].first(where: names.contains) else {
                throw Failure(.badInput, "\(folder)/\(name) has no \(labels) beside it, raw or compressed (.gz)")
            }
            found.append(
                (split, "\(folder)/\(stem.dropLast(word.count))", "\(folder)/\(name)", "\(folder)/\(labelsName)"))
        }
        return found
    }

    private static let splits: [(String, EvaluationSettings.Split)] = [
        ("train", .train), ("t10k", .test), ("test", .test),
    ]

    /// Reads the labels, and of the images only the header.
    private static func look(at images: String, _ labels: String) throws -> Part {
        let (labelFile, labelExtents) = try open(labels, dimensions: 1)
        guard labelExtents[0] <= imagesMax else {
            throw Failure(.badInput, "\(labels): more than \(imagesMax) labels")
        }
        let (imageFile, extents) = try open(images, dimensions: 3)
        guard extents[0] == labelExtents[0] else {
            throw Failure(.badInput, "\(images) has \(extents[0]) images, but \(labels) has \(labelExtents[0]) labels")
        }
        guard extents[1...].allSatisfy({ (1...ImageLayout.extentMax).contains($0) }) else {
            throw Failure(
                .badInput,
                "\(images) has images of \(extents[1]) × \(extents[2]); 1 to \(ImageLayout.extentMax) rows and columns are read"
            )
        }
        guard extents[0] <= imageFile.bytesMax / (extents[1] * extents[2]) else {
            throw Failure(
                .badInput,
                "\(images) is cut short: it cannot hold the \(extents[0]) images of \(extents[1]) × "
                    + "\(extents[2]) that its header promises")
        }
        let values = try labelFile.bytes(labelExtents[0])
        try labelFile.finish()
        return Part(images: images, labels: values, height: extents[1], width: extents[2])
    }

    /// A file positioned after its header, and the extents in the header.
    private static func open(_ path: String, dimensions: Int) throws -> (GzipFile, [Int]) {
        let file = try GzipFile(path)
        let header = try file.bytes(4 + 4 * dimensions)
        // Two zero bytes, the type (8: unsigned bytes), the number of dimensions; then the extents, big-endian.
        guard Array(header[..<4]) == [0, 0, 8, UInt8(dimensions)] else {
            throw Failure(.badInput, "\(path) is not an IDX file of bytes in \(dimensions) dimensions")
        }
        let extents = (0..<dimensions).map { dimension in
            header[4 + 4 * dimension..<8 + 4 * dimension].reduce(0) { $0 << 8 | Int($1) }
        }
        return (file, extents)
    }
}
