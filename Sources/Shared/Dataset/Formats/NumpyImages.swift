/// NumPy arrays: `images` and `labels`, or `train_images`, `train_labels`, `test_images` and `test_labels`, in a `.npz`
/// file or as `.npy` files in a folder.
///
/// Images are `[N, C, H, W]`, `[N, H, W, C]` or `[N, H, W]` of uint8, or of float32 that enter the network unchanged.
/// Channels come last if the last extent is 1 or 3 and the second is neither. `mean`, `deviation` (floats) and
/// `classes` (an integer) may add what the images do not say. Labels may be missing.
struct NumpyImages: ImageReader {
    /// The most labels of an array.
    private static let imagesMax = Int(Int32.max)

    private struct Part {
        let prefix: String
        let count: Int
        /// Nil if there are none.
        let labels: [Int]?
        let layout: ImageLayout
        let channelsLast: Bool
    }

    let format = ImageFormat.numpy
    let layout: ImageLayout
    let normalisation: Normalisation
    let hasSplits: Bool
    let hasLabels: Bool
    private let container: NumpyContainer
    private let parts: [EvaluationSettings.Split: Part]
    private let path: String

    /// The arrays at a path; nil if there are none. Throws a `.badInput` ``Failure`` if they are not images and labels.
    init?(at path: String) throws {
        guard let container = NumpyContainer(at: path) else { return nil }
        let names = try container.names()
        hasSplits = names.contains("train_images") || names.contains("test_images")
        guard hasSplits || names.contains("images") else {
            guard case .zip = container else { return nil }
            throw Failure(
                .badInput,
                "\(path) has arrays \(names.sorted().joined(separator: ", ")); images and labels are needed, or "
                    + "train_images, train_labels, test_images and test_labels")
        }
        let prefixes: [(EvaluationSettings.Split, String)] =
            hasSplits
            ? [(.train, "train_"), (.test, "test_")].filter { names.contains("\($0.1)images") }
            : EvaluationSettings.Split.allCases.map { ($0, "") }
        var parts: [EvaluationSettings.Split: Part] = [:]
        for (split, prefix) in prefixes { parts[split] = try Self.look(at: prefix, of: container, path) }
        let labelled = parts.values.count { $0.labels != nil }
        guard labelled == 0 || labelled == parts.count else {
            throw Failure(.badInput, "\(path): only one of training and test images has labels")
        }
        hasLabels = labelled > 0
        guard var layout = parts.values.first?.layout,
            parts.values.allSatisfy({ ($0.layout.shape, $0.layout.pixelType) == (layout.shape, layout.pixelType) })
        else { throw Failure(.badInput, "\(path): training and test images differ in shape or type") }
        layout.classes = parts.values.map(\.layout.classes).max() ?? 1
        if let classes = try container.array("classes")?.integers().first {
            guard classes >= layout.classes else {
                let place = parts.values.lazy.compactMap { part in
                    part.labels?.firstIndex { $0 >= classes }.map { "\(part.prefix)labels: image \($0)" }
                }.first
                throw Failure(
                    .badInput,
                    "\(path): classes is \(classes), but there are labels of \(layout.classes) classes (the "
                        + "first in \(place ?? "labels"))")
            }
            layout.classes = classes
        }
        self.layout = layout
        normalisation = try Self.normalisation(container, channels: layout.shape.channels, path)
        self.container = container
        self.parts = parts
        self.path = path
    }

    func count(_ split: EvaluationSettings.Split) throws -> Int { try part(split).count }

    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet {
        let part = try part(split)
        guard let array = try container.array("\(part.prefix)images") else {
            throw Failure(.badInput, "\(path): \(part.prefix)images has vanished")
        }
        return try ImageSet(layout, split: split, count: count) { labels, pixels in
            for image in 0..<count { labels[image] = Int32(part.labels?[image] ?? 0) }
            guard part.channelsLast, layout.shape.channels > 1 else { return try array.file.fill(pixels) }
            var row = [UInt8](repeating: 0, count: layout.imageBytes)
            for image in 0..<count {
                try row.withUnsafeMutableBytes { try array.file.fill($0) }
                let target = UnsafeMutableRawBufferPointer(
                    rebasing: pixels[image * layout.imageBytes..<(image + 1) * layout.imageBytes])
                row.withUnsafeBytes { Self.channelsFirst($0, layout, to: target) }
            }
        }
    }

    private func part(_ split: EvaluationSettings.Split) throws -> Part {
        guard let part = parts[split] else {
            throw Failure(.badInput, "\(path) has no \(split.rawValue)_images")
        }
        return part
    }

    /// Reads the labels, and of the images only the header.
    private static func look(at prefix: String, of container: NumpyContainer, _ path: String) throws -> Part {
        guard let array = try container.array("\(prefix)images") else {
            throw Failure(.badInput, "\(path): \(prefix)images has vanished")
        }
        let pixelType: ImageLayout.PixelType
        switch array.element {
        case .uint8: pixelType = .uint8
        case .float32: pixelType = .float32
        case .float64, .integer:
            throw Failure(
                .badInput, "\(array.file.name) is neither uint8 nor float32; convert it with .astype(…)")
        }
        guard let (shape, channelsLast) = shape(of: array.shape) else {
            throw Failure(
                .badInput,
                "\(array.file.name) has the shape \(array.shape), but [N, C, H, W], [N, H, W, C] or [N, H, W] "
                    + "is needed")
        }
        let images = array.shape[0]
        guard images <= imagesMax else {
            throw Failure(.badInput, "\(array.file.name) has more than \(imagesMax) images")
        }
        let labels = try container.array("\(prefix)labels").map { try self.labels($0, images: images) }
        let layout = ImageLayout(shape: shape, classes: 1 + (labels?.max() ?? 0), pixelType: pixelType)
        return Part(prefix: prefix, count: images, labels: labels, layout: layout, channelsLast: channelsLast)
    }

    private static func labels(_ labelArray: NumpyArray, images: Int) throws -> [Int] {
        guard labelArray.shape == [images] || labelArray.shape == [images, 1] else {
            throw Failure(
                .badInput,
                "\(labelArray.file.name) has the shape \(labelArray.shape), not one label for each of \(images) images")
        }
        let labels = try labelArray.integers()
        if let image = labels.firstIndex(where: { !(0..<ImageLayout.classesMax).contains($0) }) {
            throw Failure(
                .badInput, "\(labelArray.file.name): image \(image) has label \(labels[image]); labels start at 0")
        }
        return labels
    }

    private static func shape(of extents: [Int]) -> (Shape, channelsLast: Bool)? {
        let shape: Shape
        let channelsLast: Bool
        switch extents.count {
        case 3:
            channelsLast = false
            shape = Shape(channels: 1, height: extents[1], width: extents[2])
        case 4:
            let colours = [1, 3]
            channelsLast = colours.contains(extents[3]) && !colours.contains(extents[1])
            shape =
                channelsLast
                ? Shape(channels: extents[3], height: extents[1], width: extents[2])
                : Shape(channels: extents[1], height: extents[2], width: extents[3])
        default: return nil
        }
        let layout = ImageLayout(shape: shape, classes: 1)
        return layout.isWithinLimits ? (shape, channelsLast) : nil
    }

    private static func normalisation(
        _ container: NumpyContainer, channels: Int, _ path: String
    ) throws -> Normalisation {
        let standard = channels == 3 ? Normalisation.standard : .scaling(channels: channels)
        guard let mean = try container.array("mean"), let deviation = try container.array("deviation") else {
            return standard
        }
        let values = (mean: try mean.floats(), deviation: try deviation.floats())
        guard values.mean.count == channels, values.deviation.count == channels,
            values.mean.allSatisfy(\.isFinite), values.deviation.allSatisfy({ $0.isFinite && $0 > 0 })
        else { throw Failure(.badInput, "\(path): mean and deviation must be one number per channel") }
        return Normalisation(mean: values.mean, deviation: values.deviation)
    }

    /// Reorders one image from `[row, column, channel]` to `[channel, row, column]`.
    private static func channelsFirst(
        _ source: UnsafeRawBufferPointer, _ layout: ImageLayout, to target: UnsafeMutableRawBufferPointer
    ) {
        let (channels, pixels, bytes) = (layout.shape.channels, layout.shape.pixels, layout.pixelType.bytes)
        for pixel in 0..<pixels {
            for channel in 0..<channels {
                for byte in 0..<bytes {
                    target[(channel * pixels + pixel) * bytes + byte] =
                        source[(pixel * channels + channel) * bytes + byte]
                }
            }
        }
    }
}
