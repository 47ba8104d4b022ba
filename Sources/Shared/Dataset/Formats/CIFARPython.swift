/// CIFAR's Python version, as torchvision stores it: pickled dictionaries of an array of pixels, `[images, 3072]`, and
/// a list of labels. Reads the pickles without Python and executes nothing in them.
struct CIFARPython: ImageReader {
    /// The longest file to read; CIFAR-100's training images take 155 MB.
    private static let fileBytesMax = 1 << 30

    let format: ImageFormat
    let layout: ImageLayout
    private let files: CIFARFiles
    /// The dictionary's entry that holds the labels.
    private let labelsName: String

    init(files: CIFARFiles, layout: ImageLayout, labels: String, of format: ImageFormat) {
        self.files = files
        self.layout = layout
        labelsName = labels
        self.format = format
    }

    var normalisation: Normalisation { format == .cifar10 ? .standard : .cifar100 }

    func has(_ split: EvaluationSettings.Split) -> Bool { files.has(split) }

    func count(_ split: EvaluationSettings.Split) throws -> Int {
        try files.paths(split).reduce(0) { try $0 + batch(at: $1).labels.count }
    }

    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet {
        try ImageSet(layout, split: split, count: count) { labels, pixels in
            var start = 0
            for path in try files.paths(split) where start < count {
                let batch = try batch(at: path)
                let wanted = min(batch.labels.count, count - start)
                for index in 0..<wanted {
                    guard (0..<layout.classes).contains(batch.labels[index]) else {
                        throw Failure(
                            .badInput,
                            "\(path): image \(index) has label \(batch.labels[index]); labels are 0 to "
                                + "\(layout.classes - 1)")
                    }
                    labels[start + index] = Int32(batch.labels[index])
                }
                let range = start * layout.imageBytes..<(start + wanted) * layout.imageBytes
                UnsafeMutableRawBufferPointer(rebasing: pixels[range])
                    .copyBytes(from: batch.pixels.prefix(wanted * layout.imageBytes))
                start += wanted
            }
        }
    }

    /// One file's labels, and as many images' pixels. Throws a `.badInput` ``Failure``.
    private func batch(at path: String) throws -> (labels: [Int], pixels: ArraySlice<UInt8>) {
        func wrong(_ what: String) -> Failure { Failure(.badInput, "\(path): \(what)") }
        var reader = ByteReader(try InputFile.bytes(at: path, bytesMax: Self.fileBytesMax), part: "the pickle")
        let pickle: Pickle
        do { pickle = try PickleReader.read(&reader) } catch let failure as Failure {
            throw wrong(failure.description)
        }
        guard let entries = pickle.entries(pickle.root) else { throw wrong("not a CIFAR batch: no dictionary") }
        func entry(_ name: String) throws -> Pickle.Value {
            guard let value = entries.last(where: { $0.name == name })?.value else {
                throw wrong("not a CIFAR batch: it has no \(name)")
            }
            return value
        }
        guard let labels = pickle.integers(try entry(labelsName)), !labels.isEmpty else {
            throw wrong("its \(labelsName) is not a list of integers")
        }
        guard let array = try pickle.byteArray(try entry("data")), array.shape == [labels.count, layout.imageBytes],
            array.bytes.count == labels.count * layout.imageBytes
        else { throw wrong("its data is not \(layout.imageBytes) bytes for each of \(labels.count) labels") }
        return (labels, array.bytes)
    }
}

extension Pickle {
    /// The shape and the bytes of a NumPy array of bytes in rows; nil for anything else.
    fileprivate func byteArray(_ value: Value) throws -> (shape: [Int], bytes: ArraySlice<UInt8>)? {
        // The state of an array: version, shape, type, whether columns come first, the bytes.
        guard case .rebuilt(.rebuildArray, let arguments)? = object(value), let last = arguments.last,
            case .tuple(let state)? = object(last), state.count == 5, let shape = integers(state[1]),
            case .rebuilt(.arrayType, let type)? = object(state[2]), case .string("u1")? = type.first,
            case .bool(false) = state[3]
        else { return nil }
        switch state[4] {
        case .bytes(let bytes): return (shape, bytes)
        case .string(let text): return (shape, ArraySlice(text.utf8))
        default: return nil
        }
    }
}
