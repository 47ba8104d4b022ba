/// CIFAR-10's binary batches: files of records, each a label and 3072 pixels.
public enum CIFAR10 {
    /// The folder that the official archive unpacks to.
    static let officialFolder = "cifar-10-batches-bin"
    /// The most records of one file. The official ones have 10,000.
    static let recordsMax = 1_000_000
    /// Training batches are `data_batch_1.bin` … up to this number; the official set has 5.
    static let trainingBatchesMax = 5

    /// What its images have in common.
    public static let layout = ImageLayout(shape: Shape(channels: 3, height: 32, width: 32), classes: 10)
    /// Bytes of one record: the label, then the pixels as `[channel, row, column]`.
    public static let recordBytes = 1 + layout.imageBytes

    /// Reads the first `limit` images of a split, or all, from a folder that holds the batches or the official
    /// archive's folder. Only the files and records that are wanted are read.
    ///
    /// The test images are `test_batch.bin`; the training images are `data_batch_1.bin` and those that follow it.
    /// Throws a `.badInput` ``Failure`` that names the file and the record where something is wrong, also where there
    /// are fewer images than wanted.
    public static func read(directory: String, split: EvaluationSettings.Split, limit: Int?) throws -> ImageSet {
        precondition(limit ?? 0 >= 0, "a number of images")
        var parts: [(path: String, count: Int)] = []
        var total = 0
        for path in try batches(in: directory, split: split) {
            let wanted = limit.map { $0 - total } ?? Int.max
            if wanted <= 0 { break }
            parts.append((path, min(try recordCount(of: path), wanted)))
            total += parts.last?.count ?? 0
        }
        if let limit, total < limit {
            throw Failure(.badInput, "\(directory) has \(total) \(split.rawValue) images; \(limit) are asked for")
        }
        return try ImageSet(layout, split: split, count: total) { labels, pixels in
            var start = 0
            for (path, count) in parts {
                let records = try InputFile.prefix(of: path, count: count * recordBytes)
                try separate(records, count, name: path, into: labels, pixels, from: start)
                start += count
            }
        }
    }

    /// How many images a split has. Throws where files are missing or of the wrong length.
    public static func count(directory: String, split: EvaluationSettings.Split) throws -> Int {
        try batches(in: directory, split: split).reduce(0) { try $0 + recordCount(of: $1) }
    }

    /// Reads images from a file's bytes; `name` stands in errors. Throws a `.badInput` ``Failure``.
    public static func images(bytes: [UInt8], split: EvaluationSettings.Split = .test, name: String) throws -> ImageSet
    {
        try check(size: bytes.count, name: name)
        let count = bytes.count / recordBytes
        return try ImageSet(layout, split: split, count: count) { labels, pixels in
            try separate(bytes, count, name: name, into: labels, pixels, from: 0)
        }
    }

    /// The records of images of CIFAR-10's layout, as a file has them.
    public static func records(of images: ImageSet) -> [UInt8] {
        precondition(images.layout == layout, "CIFAR-10's images")
        return (0..<images.count).flatMap { [UInt8(images.label($0))] + images.pixels($0) }
    }

    /// Parts records into labels and pixels, which begin with image `start`.
    private static func separate(
        _ records: [UInt8], _ count: Int, name: String, into labels: UnsafeMutableBufferPointer<Int32>,
        _ pixels: UnsafeMutableRawBufferPointer, from start: Int
    ) throws {
        try records.withUnsafeBytes { raw in
            for record in 0..<count {
                let place = record * recordBytes
                let label = raw[place]
                guard label < layout.classes else {
                    throw Failure(
                        .badInput,
                        "\(name): record \(record) (byte \(place)) has label \(label); labels are 0 to "
                            + "\(layout.classes - 1)")
                }
                labels[start + record] = Int32(label)
                let target = (start + record) * layout.imageBytes
                UnsafeMutableRawBufferPointer(rebasing: pixels[target..<target + layout.imageBytes])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[place + 1..<place + recordBytes]))
            }
        }
    }

    private static func recordCount(of path: String) throws -> Int {
        let size = try InputFile.size(of: path)
        try check(size: size, name: path)
        return size / recordBytes
    }

    private static func check(size: Int, name: String) throws {
        guard size > 0, size % recordBytes == 0 else {
            throw Failure(
                .badInput,
                "\(name): \(size) bytes are no whole number of records of \(recordBytes) bytes; the file is cut "
                    + "short or no CIFAR-10 batch")
        }
        guard size / recordBytes <= recordsMax else {
            throw Failure(.badInput, "\(name): more than \(recordsMax) records")
        }
    }

    /// The files of a split, in order. Throws where the first is missing, or one between two others.
    private static func batches(in directory: String, split: EvaluationSettings.Split) throws -> [String] {
        let names =
            switch split {
            case .test: ["test_batch.bin"]
            case .train: (1...trainingBatchesMax).map { "data_batch_\($0).bin" }
            }
        let folders = [directory, "\(directory)/\(officialFolder)"]
        guard let folder = folders.first(where: { InputFile.isReadable("\($0)/\(names[0])") }) else {
            throw Failure(
                .badInput,
                "\(names[0]) is neither in \(directory) nor in \(folders[1]), or cannot be read; get CIFAR-10's binary "
                    + "version with deploy/get-cifar10")
        }
        let paths = names.map { "\(folder)/\($0)" }
        let last = paths.lastIndex(where: InputFile.isReadable) ?? 0
        if let gap = paths[...last].first(where: { !InputFile.isReadable($0) }) {
            throw Failure(.badInput, "\(gap) is missing or cannot be read, though later batches are there")
        }
        return Array(paths[...last])
    }
}
