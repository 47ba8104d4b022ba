import Foundation

/// A data set whose form was recognised. Its images are read when they are asked for.
public struct DataSet: Sendable {
    /// Where it is.
    public let source: ImageSource
    /// What the images have in common.
    public let layout: ImageLayout
    private let reader: any ImageReader

    init(_ source: ImageSource, _ reader: any ImageReader) throws {
        self.source = source
        self.reader = reader
        var layout = reader.layout
        if let classes = source.classes {
            guard classes >= layout.classes else {
                let place = reader.place(ofLabelFrom: classes).map { " (the first in \($0))" } ?? ""
                throw Failure(
                    .badInput,
                    "\(source.path) has labels of \(layout.classes) classes\(place), more than --classes \(classes)")
            }
            layout.classes = classes
        }
        guard layout.isWithinLimits else {
            throw Failure(.badInput, "\(source.path) has images of \(layout), which are too large")
        }
        self.layout = layout
    }

    /// The form in which the images are stored.
    public var format: ImageFormat { reader.format }
    /// How networks for such images usually normalise them; without channels where pixels are inputs as they are.
    public var normalisation: Normalisation { layout.pixelType == .float32 ? .none : reader.normalisation }
    /// Whether a mirrored image is still one of its class; digits are not.
    public var mayBeMirrored: Bool { reader.mayBeMirrored }

    /// Whether training and test images are told apart. Where they are not, all images are of either split.
    public var hasSplits: Bool { reader.hasSplits }
    /// The splits that are there; one of them where they are not told apart.
    public var splits: [EvaluationSettings.Split] {
        hasSplits ? [.train, .test].filter(reader.has) : [.train]
    }

    /// Whether it is known what the images show.
    public var hasLabels: Bool { reader.hasLabels }

    /// The same images where they have labels; otherwise as many classes are told apart as a network has.
    public func fitting(_ graph: Graph) throws -> DataSet {
        if hasLabels || source.classes != nil { return self }
        var source = source
        source.classes = graph.classes
        return try DataSet(source, reader)
    }

    /// How many images a split has, at least one. Throws a `.badInput` ``Failure`` where there is no such split, or it is
    /// empty.
    public func count(_ split: EvaluationSettings.Split) throws -> Int {
        let count = try reader.count(split)
        guard count > 0 else {
            throw Failure(
                .badInput, "\(source.path) has no \(hasSplits ? "\(split.rawValue) " : "")images: it is empty")
        }
        return count
    }

    /// Reads the first `limit` images of a split, or all. Throws a `.badInput` ``Failure`` that names the place where
    /// something is wrong, also where there are fewer images than wanted.
    public func read(_ split: EvaluationSettings.Split, limit: Int? = nil) throws -> ImageSet {
        let available = try count(split)
        if let limit, limit > available {
            throw Failure(
                .badInput, "\(source.path) has \(available) \(split.rawValue) images; \(limit) are asked for")
        }
        let count = limit ?? available
        try checkMemory(for: count)
        var images = try reader.read(split, count: count)
        if let limit, images.count < limit {
            throw Failure(
                .badInput,
                "\(source.path) has \(images.count) \(split.rawValue) images without the broken ones; \(limit) are asked for"
            )
        }
        try images.checkPixels(name: source.path)
        if images.layout != layout { images.tell(classes: layout.classes) }
        return images
    }

    /// One line for a person: what the images are and how they become inputs.
    public func summary(_ normalisation: Normalisation) -> String {
        "\(format.rawValue) images of \(hasLabels ? "\(layout)" : "\(layout.shape) without labels"), \(normalisation)"
    }

    private func checkMemory(for count: Int) throws {
        let (bytes, overflows) = layout.imageBytes.multipliedReportingOverflow(by: count)
        let memory = MemoryAllowance.available
        guard !overflows, bytes < memory, count <= ImageSet.countMax else {
            throw Failure(
                .badInput,
                "\(count) images of \(layout.shape) in \(source.path) take \(overflows ? "more" : "\(bytes >> 20) MB"), and "
                    + "\(memory >> 20) MB of memory are free; read fewer with --images, or smaller ones")
        }
    }
}
