/// The records of CIFAR's binary version: one label or two, then the pixels as `[channel, row, column]`.
struct CIFARRecords {
    /// The most records of one file. The official ones have 50,000.
    static let recordsMax = 1_000_000

    let layout: ImageLayout
    /// Bytes before the pixels.
    let labelBytes: Int
    /// Which of them is the label.
    let labelAt: Int

    var bytes: Int { labelBytes + layout.imageBytes }

    /// The number of records in this many bytes. Throws a `.badInput` ``Failure`` if it is not whole.
    func count(size: Int, name: String) throws -> Int {
        guard size > 0, size % bytes == 0 else {
            throw Failure(
                .badInput,
                "\(name): \(size) bytes are not a whole number of records of \(bytes) bytes; the file is "
                    + "cut short or not a CIFAR batch")
        }
        guard size / bytes <= Self.recordsMax else {
            throw Failure(.badInput, "\(name): more than \(Self.recordsMax) records")
        }
        return size / bytes
    }

    /// Parts records into labels and pixels, which begin with image `start`.
    func separate(
        _ records: [UInt8], _ count: Int, name: String, into labels: UnsafeMutableBufferPointer<Int32>,
        _ pixels: UnsafeMutableRawBufferPointer, from start: Int
    ) throws {
        try records.withUnsafeBytes { raw in
            for record in 0..<count {
                let place = record * bytes
                let label = raw[place + labelAt]
                guard label < layout.classes else {
                    throw Failure(
                        .badInput,
                        "\(name): record \(record) (byte \(place + labelAt)) has label \(label); labels are 0 to "
                            + "\(layout.classes - 1)")
                }
                labels[start + record] = Int32(label)
                let target = (start + record) * layout.imageBytes
                UnsafeMutableRawBufferPointer(rebasing: pixels[target..<target + layout.imageBytes])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[place + labelBytes..<place + bytes]))
            }
        }
    }
}

/// CIFAR's binary version.
struct CIFARBinary: ImageReader {
    let format: ImageFormat
    private let files: CIFARFiles
    private let records: CIFARRecords

    init(files: CIFARFiles, records: CIFARRecords, of format: ImageFormat) {
        self.files = files
        self.records = records
        self.format = format
    }

    var layout: ImageLayout { records.layout }
    var normalisation: Normalisation { format == .cifar10 ? .standard : .cifar100 }

    func has(_ split: EvaluationSettings.Split) -> Bool { files.has(split) }

    func count(_ split: EvaluationSettings.Split) throws -> Int {
        try files.paths(split).reduce(0) { try $0 + records.count(size: InputFile.size(of: $1), name: $1) }
    }

    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet {
        try ImageSet(layout, split: split, count: count) { labels, pixels in
            var start = 0
            for path in try files.paths(split) where start < count {
                let there = try records.count(size: InputFile.size(of: path), name: path)
                let wanted = min(there, count - start)
                let bytes = try InputFile.prefix(of: path, count: wanted * records.bytes)
                try records.separate(bytes, wanted, name: path, into: labels, pixels, from: start)
                start += wanted
            }
        }
    }
}
