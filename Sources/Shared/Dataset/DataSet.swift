import Foundation

/// A data set whose format was recognised. Reads its images on demand.
public struct DataSet: Sendable {
    /// Where it is.
    public let source: ImageSource
    /// The common properties of the images.
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
    /// The usual normalisation for such images; without channels if pixels are inputs already.
    public var normalisation: Normalisation { layout.pixelType == .float32 ? .none : reader.normalisation }
    /// Whether a mirrored image keeps its class; digits do not.
    public var mayBeMirrored: Bool { reader.mayBeMirrored }

    /// Whether training and test images are separate. If not, all images count as either split.
    public var hasSplits: Bool { reader.hasSplits }
    /// The available splits; only one if they are not separate.
    public var splits: [EvaluationSettings.Split] {
        hasSplits ? [.train, .test].filter(reader.has) : [.train]
    }

    /// Whether the images have labels.
    public var hasLabels: Bool { reader.hasLabels }

    /// The same images if they have labels; otherwise with as many classes as the network.
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

    /// Reads the first `limit` images of a split, or all. Throws a `.badInput` ``Failure`` that says what is wrong and
    /// where, also if there are fewer images than wanted.
    public func read(_ split: EvaluationSettings.Split, limit: Int? = nil) throws -> ImageSet {
        let available = try count(split)
        if let limit, limit > available {
            throw Failure(
                .badInput, "\(source.path) has only \(available) \(split.rawValue) images, not \(limit)")
        }
        let count = limit ?? available
        try checkMemory(for: count)
        var images = try reader.read(split, count: count)
        if let limit, images.count < limit {
            throw Failure(
                .badInput,
                "\(source.path) has only \(images.count) \(split.rawValue) images without the broken ones, not \(limit)"
            )
        }
        try images.checkPixels(name: source.path)
        if images.layout != layout { images.tell(classes: layout.classes) }
        return images
    }

    /// One line for the user: the images and how they become inputs.
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
