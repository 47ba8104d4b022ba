import Foundation

/// A folder with one folder of pictures per class, as for torchvision's `ImageFolder`, or with such folders in `train`
/// and `test` (or `val`). Classes are the folders in the order of their names; grey pictures become RGB. Pictures
/// directly in a folder without subfolders have no labels.
///
/// The pictures come in a fixed random order that depends only on their number, so the first ones are a fair sample of
/// all classes.
struct PictureFolder: ImageReader {
    private static let endings: Set<String> = ["jpg", "jpeg", "png", "webp"]
    /// Endings of pictures that are not read, which a reader should know.
    private static let otherEndings: Set<String> = ["bmp", "gif", "heic", "pgm", "ppm", "tif", "tiff"]
    /// Names of the folder of a split, the first that is there.
    private static let splitFolders: [(split: EvaluationSettings.Split, names: [String])] = [
        (.train, ["train", "training"]), (.test, ["test", "val", "valid", "validation"]),
    ]
    /// The most pictures: ImageNet-21k has 14 million.
    private static let picturesMax = 20_000_000

    /// One in this many pictures may be skipped.
    private static let brokenShare = 100
    /// Broken pictures to name in a line.
    private static let namedMax = 5

    let format = ImageFormat.folder
    let layout: ImageLayout
    let normalisation = Normalisation.standard
    let hasSplits: Bool
    let hasLabels: Bool
    let classes: [String]
    private let path: String
    private let transform: PictureTransform
    private let skipsBroken: Bool
    private let pictures: [EvaluationSettings.Split: [PictureFile]]

    /// The pictures of a folder; nil if it has none in class folders. Throws a `.badInput` ``Failure`` if a class has
    /// none, or the splits have different classes.
    init?(_ source: ImageSource) throws {
        path = source.path
        transform = PictureTransform(resize: source.resize, crop: source.crop)
        skipsBroken = source.skipsBroken
        var pictures: [EvaluationSettings.Split: [PictureFile]] = [:]
        var classes: [String]?
        let inner = Self.splitFolders.compactMap { split, names in
            names.map { "\(source.path)/\($0)" }.first { !Self.classes(in: $0).isEmpty }.map { (split, $0) }
        }
        hasSplits = !inner.isEmpty
        for (split, folder) in hasSplits ? inner : EvaluationSettings.Split.allCases.map({ ($0, source.path) }) {
            let names = Self.classes(in: folder)
            guard !names.isEmpty else { return nil }
            if let classes, classes != names {
                let only = Set(classes).symmetricDifference(names).sorted().prefix(5).joined(separator: ", ")
                throw Failure(.badInput, "\(source.path): training and test images have different classes: \(only)")
            }
            classes = names
            // Without splits both are the same pictures.
            guard
                let found = try hasSplits
                    ? Self.pictures(of: names, in: folder)
                    : pictures.values.first
                        ?? Self.pictures(of: names, in: folder)
            else { return nil }
            pictures[split] = found
        }
        guard let classes, let files = pictures[.train] ?? pictures[.test] else { return nil }
        self.classes = classes
        hasLabels = classes != [Self.unlabelled]
        self.pictures = pictures
        let picture = try Self.first(of: files, skippingBroken: skipsBroken)
        let size = transform.size(height: picture.height, width: picture.width)
        layout = ImageLayout(
            shape: Shape(channels: 3, height: size.height, width: size.width), classes: classes.count)
    }

    /// The first picture that can be read, whose size is that of all. Throws a `.badInput` ``Failure`` that names the first
    /// one that cannot, where too many cannot, or none may be left out.
    private static func first(of files: [PictureFile], skippingBroken skips: Bool) throws -> Picture {
        var failure: Failure?
        for file in files.prefix(skips ? 1 + files.count / brokenShare : 1) {
            do { return try file.decoded() } catch let broken as Failure { failure = failure ?? broken }
        }
        throw failure ?? Failure(.badInput, "there are no pictures")
    }

    func has(_ split: EvaluationSettings.Split) -> Bool { pictures[split] != nil }

    func count(_ split: EvaluationSettings.Split) throws -> Int { try files(split).count }

    private func files(_ split: EvaluationSettings.Split) throws -> [PictureFile] {
        guard let files = pictures[split] else {
            throw Failure(.badInput, "\(path) has no folder \(split == .train ? "train" : "test (or val)")")
        }
        return files
    }

    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet {
        let files = try files(split)
        let decoding = PictureDecoding(layout: layout, transform: transform)
        var broken: [(file: PictureFile, reason: String)] = []
        // The next pictures replace broken ones, as long as there are any.
        var places = Array(0..<count)
        var taken = count
        let images = try ImageSet(layout, split: split, count: count) { labels, pixels in
            var waiting = places
            while !waiting.isEmpty {
                let failures = try decoding.decode(waiting.map { files[places[$0]] }, to: waiting, labels, pixels)
                broken += failures.map { (files[places[waiting[$0.index]]], $0.reason) }
                if !failures.isEmpty { try check(broken, of: files.count) }
                waiting = failures.map { waiting[$0.index] }
                for place in waiting {
                    places[place] = taken < files.count ? taken : -1
                    taken += 1
                }
                waiting = waiting.filter { places[$0] >= 0 }
            }
            // A place without a picture must hold something until it is dropped.
            for place in places.indices where places[place] < 0 {
                labels[place] = 0
                let bytes = place * layout.imageBytes..<(place + 1) * layout.imageBytes
                for byte in bytes { pixels[byte] = 0 }
            }
        }
        if !broken.isEmpty { Log.shared.line("skipped: \(Self.list(broken, of: files.count))") }
        let whole = places.indices.filter { places[$0] >= 0 }
        return whole.count == count ? images : images.picking(whole)
    }

    /// Throws if pictures are broken and may not be skipped.
    private func check(_ broken: [(file: PictureFile, reason: String)], of total: Int) throws {
        let list = Self.list(broken, of: total)
        guard skipsBroken else {
            throw Failure(.badInput, "\(list); --skip-broken skips them if they are at most one per cent")
        }
        guard broken.count * Self.brokenShare <= total else {
            throw Failure(.badInput, "\(list); that is more than the one per cent that --skip-broken skips")
        }
    }

    private static func list(_ broken: [(file: PictureFile, reason: String)], of total: Int) -> String {
        let named = broken.prefix(namedMax).map { "\($0.file.path) (\($0.reason))" }.joined(separator: "; ")
        return "\(broken.count) of \(total) pictures are unreadable: \(named)\(broken.count > namedMax ? "; …" : "")"
    }

    // MARK: Files

    /// The folder of pictures without a class.
    private static let unlabelled = "."

    /// The class folders of a folder, or ``unlabelled`` if it holds the pictures directly; empty if it has neither.
    private static func classes(in folder: String) -> [String] {
        let folders = folders(in: folder)
        guard folders.isEmpty else { return folders }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.contains(where: isPicture) ? [unlabelled] : []
    }

    private static func isPicture(_ path: String) -> Bool { ends(path, endings) }

    private static func ends(_ path: String, _ endings: Set<String>) -> Bool {
        endings.contains((path as NSString).pathExtension.lowercased())
            && !(path as NSString).lastPathComponent.hasPrefix(".")
    }

    /// The names of the folders in a folder, in Python's order.
    private static func folders(in folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { name in
            var isFolder: ObjCBool = false
            return !name.hasPrefix(".")
                && FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
                && isFolder.boolValue
        }.sorted { $0.unicodeScalars.lexicographicallyPrecedes($1.unicodeScalars) }
    }

    /// The pictures of all classes, in random order; nil if no class has any.
    private static func pictures(of classes: [String], in folder: String) throws -> [PictureFile]? {
        var files: [PictureFile] = []
        var empty: String?
        var others: [String] = []
        for (label, name) in classes.enumerated() {
            // A class may be a link to a folder elsewhere, which is not looked into as such.
            let place = URL(fileURLWithPath: "\(folder)/\(name)").resolvingSymlinksInPath().path
            let inside = FileManager.default.enumerator(atPath: place)?.compactMap { $0 as? String } ?? []
            let paths = inside.filter(isPicture)
            others += inside.filter { ends($0, otherEndings) }.map { "\(folder)/\(name)/\($0)" }
            if paths.isEmpty { empty = empty ?? name }
            files += paths.sorted().map { PictureFile(path: "\(folder)/\(name)/\($0)", label: Int32(label)) }
            guard files.count <= picturesMax else {
                throw Failure(.badInput, "\(folder) has more than \(picturesMax) pictures")
            }
        }
        if files.isEmpty { return nil }
        if let empty {
            throw Failure(
                .badInput,
                "\(folder)/\(empty) has no JPEG, PNG or WebP; every folder is a class, so remove or fill it")
        }
        if let other = others.min() {
            Log.shared.line("not read: \(others.count) files that are no JPEG, PNG or WebP, such as \(other)")
        }
        var random = SplitMix64(seed: 1, files.count)
        files.shuffle(using: &random)
        return files
    }
}
