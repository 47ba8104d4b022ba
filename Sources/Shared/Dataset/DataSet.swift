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
    /// How networks for such images usually normalise them; without channels where pixels are inputs as they are.
    public var normalisation: Normalisation { layout.pixelType == .float32 ? .none : reader.normalisation }
    /// Whether a mirrored image is still one of its class; digits are not.
    public var mayBeMirrored: Bool { reader.mayBeMirrored }

    /// Whether training and test images are told apart. Where they are not, all images are of either split.
    public var hasSplits: Bool { reader.hasSplits }
    /// The splits that are there; one of them where they are not told apart.
    public var splits: [EvaluationSettings.Split] {
        hasSplits ? [.train, .test].filter { (try? count($0)) != nil } : [.train]
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

    /// How many images a split has. Throws a `.badInput` ``Failure`` where there is no such split.
    public func count(_ split: EvaluationSettings.Split) throws -> Int { try reader.count(split) }

    /// Reads the first `limit` images of a split, or all. Throws a `.badInput` ``Failure`` that names the place where
    /// something is wrong, also where there are fewer images than wanted.
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

    /// One line for a person: what the images are and how they become inputs.
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
