import Foundation

/// Where images are and the user's options for them: all that is needed to read the same images again.
public struct ImageSource: Sendable, Hashable, Codable {
    /// Which of CIFAR-100's labels count.
    public enum CIFAR100Labels: String, Sendable, Hashable, Codable, CaseIterable {
        /// The 100 classes.
        case fine
        /// The 20 superclasses.
        case coarse
    }

    /// A folder or file.
    public var path: String
    /// The format of the images; nil to recognise it.
    public var format: ImageFormat?
    /// The number of classes, if more than occur.
    public var classes: Int?
    /// CIFAR-100's labels.
    public var cifar100Labels: CIFAR100Labels
    /// The target length of a picture's shorter side.
    public var resize: Int?
    /// Height and width of the central crop of a picture.
    public var crop: Int?
    /// Whether to skip unreadable pictures, if they are few.
    public var skipsBroken: Bool

    /// Names images.
    public init(
        _ path: String, format: ImageFormat? = nil, classes: Int? = nil, cifar100Labels: CIFAR100Labels = .fine,
        resize: Int? = nil, crop: Int? = nil, skipsBroken: Bool = false
    ) {
        self.path = path
        self.format = format
        self.classes = classes
        self.cifar100Labels = cifar100Labels
        self.resize = resize
        self.crop = crop
        self.skipsBroken = skipsBroken
    }

    /// The command-line options that name the same images.
    public var arguments: [String] {
        var words = ["--data", path]
        func add(_ name: String, _ value: (some CustomStringConvertible)?) {
            if let value { words += [name, "\(value)"] }
        }
        add("--data-format", format?.rawValue)
        add("--classes", classes)
        if cifar100Labels != .fine { add("--cifar100-labels", cifar100Labels.rawValue) }
        add("--resize", resize)
        add("--crop", crop)
        if skipsBroken { words.append("--skip-broken") }
        return words
    }

    /// Recognises the format of the images. Throws a `.badInput` ``Failure`` if there is none, or several, or if labels
    /// are needed and missing.
    public func open(needsLabels: Bool = true) throws -> DataSet {
        let formats = format.map { [$0] } ?? ImageFormat.allCases.filter { $0 != .folder }
        var readers = try formats.compactMap { try reader($0) }
        // Folders of pictures may be beside anything, so they count only if there is nothing else.
        if readers.isEmpty, format == nil, let pictures = try reader(.folder) { readers.append(pictures) }
        guard readers.count <= 1 else {
            let found = readers.map { $0.format.rawValue }.joined(separator: " and ")
            throw Failure(.badInput, "\(path) holds \(found); choose one with --data-format")
        }
        guard let reader = readers.first else { throw unrecognised() }
        guard reader.hasLabels || !needsLabels else {
            throw Failure(
                .badInput,
                "\(path) has images without labels, but labels are needed here; '--labels network' ranks and "
                    + "evaluates without them, by the unmasked network's outputs")
        }
        return try DataSet(self, reader)
    }

    private func reader(_ format: ImageFormat) throws -> (any ImageReader)? {
        switch format {
        case .cifar10: try CIFAR10.reader(at: path)
        case .cifar100: try CIFAR100.reader(at: path, cifar100Labels)
        case .idx: try IDXImages(at: path)
        case .numpy: try NumpyImages(at: path, isNamed: self.format == .numpy)
        case .folder: try PictureFolder(self)
        }
    }

    private func unrecognised() -> Failure {
        guard FileManager.default.fileExists(atPath: path) else {
            return Failure(.badInput, "\(path) does not exist or is unreadable")
        }
        let what = format.map { "no \($0.rawValue) images" } ?? "no images in a known format"
        return Failure(
            .badInput,
            "\(path) holds \(what): CIFAR-10 or CIFAR-100 (binary or Python version; see deploy/get-cifar10), "
                + "MNIST's IDX files, NumPy's images.npz, or one folder of pictures per class")
    }
}
