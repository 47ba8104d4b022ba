/// CIFAR-10: 32 × 32 colour images in ten classes.
public enum CIFAR10 {
    /// The common properties of its images.
    public static let layout = ImageLayout(shape: Shape(channels: 3, height: 32, width: 32), classes: 10)
    /// Bytes of one record of a binary batch: the label, then the pixels as `[channel, row, column]`.
    public static let recordBytes = 1 + layout.imageBytes

    /// The highest number of a training batch; the official set has 5.
    private static let trainingBatchesMax = 5

    /// Reads images from a binary batch; `name` is for errors. Throws a `.badInput` ``Failure``.
    public static func images(bytes: [UInt8], name: String) throws -> ImageSet {
        let records = CIFARRecords(layout: layout, labelBytes: 1, labelAt: 0)
        let count = try records.count(size: bytes.count, name: name)
        return try ImageSet(layout, split: .test, count: count) { labels, pixels in
            try records.separate(bytes, count, name: name, into: labels, pixels, from: 0)
        }
    }

    /// The records of a binary batch of images.
    public static func records(of images: ImageSet) -> [UInt8] {
        precondition(images.layout == layout, "CIFAR-10's images")
        return (0..<images.count).flatMap { [UInt8(images.label($0))] + images.pixels($0) }
    }

    /// The batches in a folder, or in the official archive's folder below it; nil if there are none.
    static func reader(at path: String) throws -> (any ImageReader)? {
        func names(_ ending: String) -> [EvaluationSettings.Split: [String]] {
            [
                .test: ["test_batch\(ending)"],
                .train: (1...trainingBatchesMax).map { "data_batch_\($0)\(ending)" },
            ]
        }
        if let files = CIFARFiles(in: [path, "\(path)/cifar-10-batches-bin"], names: names(".bin")) {
            return CIFARBinary(
                files: files, records: CIFARRecords(layout: layout, labelBytes: 1, labelAt: 0), of: .cifar10)
        }
        if let files = CIFARFiles(in: [path, "\(path)/cifar-10-batches-py"], names: names("")) {
            return CIFARPython(files: files, layout: layout, labels: "labels", of: .cifar10)
        }
        return nil
    }
}
