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
                throw Failure(
                    .badInput, "\(source.path) has labels of \(layout.classes) classes, more than --classes \(classes)")
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
        hasSplits ? [.train, .test].filter { (try? count($0)) != nil } : [.train]
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

    /// How many images a split has. Throws a `.badInput` ``Failure`` if there is no such split.
    public func count(_ split: EvaluationSettings.Split) throws -> Int { try reader.count(split) }

    /// Reads the first `limit` images of a split, or all. Throws a `.badInput` ``Failure`` that says what is wrong and
    /// where, also if there are fewer images than wanted.
    public func read(_ split: EvaluationSettings.Split, limit: Int? = nil) throws -> ImageSet {
        let available = try reader.count(split)
        if let limit, limit > available {
            throw Failure(
                .badInput, "\(source.path) has only \(available) \(split.rawValue) images, not \(limit)")
        }
        let count = limit ?? available
        try checkMemory(for: count)
        let images = try reader.read(split, count: count)
        if let limit, images.count < limit {
            throw Failure(
                .badInput,
                "\(source.path) has only \(images.count) \(split.rawValue) images without the broken ones, not \(limit)"
            )
        }
        try images.checkPixels(name: source.path)
        return images.layout == layout ? images : images.telling(classes: layout.classes)
    }

    /// One line for the user: the images and how they become inputs.
    public func summary(_ normalisation: Normalisation) -> String {
        "\(format.rawValue) images of \(layout), \(normalisation)"
    }

    private func checkMemory(for count: Int) throws {
        let (bytes, overflows) = layout.imageBytes.multipliedReportingOverflow(by: count)
        let memory = ProcessInfo.processInfo.physicalMemory
        guard !overflows, UInt64(bytes) < memory, count <= ImageSet.countMax else {
            throw Failure(
                .badInput,
                "\(count) images of \(layout.shape) in \(source.path) do not fit into this machine's "
                    + "\(memory >> 30) GB of memory; read fewer, or smaller ones")
        }
    }
}
