/// CIFAR-10's binary batches: files of records, each a label and 3072 pixels.
public enum CIFAR10 {
    /// The folder that the official archive unpacks to.
    static let officialFolder = "cifar-10-batches-bin"
    /// The most records of one file. The official ones have 10,000.
    static let recordsMax = 1_000_000
    /// Training batches are `data_batch_1.bin` … up to this number; the official set has 5.
    static let trainingBatchesMax = 5

    /// Reads the first `limit` images of a split, or all, from a folder that holds the batches or the official
    /// archive's folder. Only the files and records that are wanted are read.
    ///
    /// The test images are `test_batch.bin`; the training images are `data_batch_1.bin` and those that follow it.
    /// Throws a `.badInput` ``Failure`` that names the file and the record where something is wrong, also where there
    /// are fewer images than wanted.
    public static func read(directory: String, split: EvaluationSettings.Split, limit: Int?) throws -> ImageSet {
        precondition(limit ?? 0 >= 0, "a number of images")
        var records: [UInt8] = []
        for path in try batches(in: directory, split: split) {
            let wanted = limit.map { $0 - records.count / ImageSet.recordBytes } ?? Int.max
            if wanted <= 0 { break }
            records += try batch(at: path, recordsWanted: wanted)
        }
        let images = ImageSet(records: records)
        if let limit, images.count < limit {
            throw Failure(
                .badInput, "\(directory) has \(images.count) \(split.rawValue) images; \(limit) are asked for")
        }
        return images
    }

    /// How many images a split has. Throws where files are missing or of the wrong length.
    public static func count(directory: String, split: EvaluationSettings.Split) throws -> Int {
        try batches(in: directory, split: split).reduce(0) { try $0 + recordCount(of: $1) }
    }

    /// Reads images from a file's bytes; `name` stands in errors. Throws a `.badInput` ``Failure``.
    public static func images(bytes: [UInt8], name: String) throws -> ImageSet {
        ImageSet(records: try records(bytes, name: name))
    }

    /// Reads records from a file's bytes; `name` stands in errors.
    public static func records(_ bytes: [UInt8], name: String) throws -> [UInt8] {
        try check(size: bytes.count, name: name)
        for record in 0..<bytes.count / ImageSet.recordBytes {
            let label = bytes[record * ImageSet.recordBytes]
            guard label < ImageSet.classes else {
                throw Failure(
                    .badInput,
                    "\(name): record \(record) (byte \(record * ImageSet.recordBytes)) has label \(label); labels are 0 "
                        + "to \(ImageSet.classes - 1)")
            }
        }
        return bytes
    }

    private static func batch(at path: String, recordsWanted: Int) throws -> [UInt8] {
        let count = min(try recordCount(of: path), recordsWanted)
        return try records(try InputFile.prefix(of: path, count: count * ImageSet.recordBytes), name: path)
    }

    private static func recordCount(of path: String) throws -> Int {
        let size = try InputFile.size(of: path)
        try check(size: size, name: path)
        return size / ImageSet.recordBytes
    }

    private static func check(size: Int, name: String) throws {
        guard size > 0, size % ImageSet.recordBytes == 0 else {
            throw Failure(
                .badInput,
                "\(name): \(size) bytes are no whole number of records of \(ImageSet.recordBytes) bytes; the file is cut "
                    + "short or no CIFAR-10 batch")
        }
        guard size / ImageSet.recordBytes <= recordsMax else {
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
