/// A set as bytes, all numbers little-endian:
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | `WNNWIMGS` |
/// | 8 | 4 | version of this form, 1 |
/// | 12 | 4 | split: 0 test, 1 train |
/// | 16 | 4 | type of the pixels: 0 uint8, 1 float32 |
/// | 20 | 4 | classes |
/// | 24 | 12 | channels, height, width |
/// | 36 | 4 | images |
/// | 40 | 4 × images | labels |
/// | … | … | pixels, `[image, channel, row, column]` |
extension ImageSet {
    /// The most images of a set: their numbers fit in 32 bits.
    public static let countMax = Int(Int32.max)
    static let headerBytes = 40
    private static let magic: [UInt8] = Array("WNNWIMGS".utf8)
    private static let version: UInt32 = 1

    static func pixelsOffset(count: Int) -> Int { headerBytes + count * MemoryLayout<Int32>.stride }

    /// Bytes of a set of `count` such images.
    public static func blobBytes(_ layout: ImageLayout, count: Int) -> Int {
        pixelsOffset(count: count) + count * layout.imageBytes
    }

    /// How many such images a set of this many bytes has, or nil if it cannot be a set of them.
    public static func count(_ layout: ImageLayout, blobBytes: Int) -> Int? {
        let (count, rest) = (blobBytes - headerBytes).quotientAndRemainder(
            dividingBy: layout.imageBytes + MemoryLayout<Int32>.stride)
        return rest == 0 && count >= 0 ? count : nil
    }

    static func header(_ layout: ImageLayout, _ split: EvaluationSettings.Split, _ count: Int) -> [UInt8] {
        let fields = [
            version, split == .test ? 0 : 1, layout.pixelType == .uint8 ? 0 : 1, UInt32(layout.classes),
            UInt32(layout.shape.channels), UInt32(layout.shape.height), UInt32(layout.shape.width), UInt32(count),
        ]
        return magic + fields.flatMap { field in withUnsafeBytes(of: field.littleEndian, Array.init) }
    }

    /// Reads a set; `name` is for errors. Throws a `.badInput` ``Failure`` if it is incomplete or inconsistent.
    public init(blob: [UInt8], name: String) throws {
        guard blob.count >= Self.headerBytes, blob.starts(with: Self.magic) else {
            throw Failure(.badInput, "\(name): not an image set")
        }
        let fields = blob.withUnsafeBytes { raw in
            stride(from: Self.magic.count, to: Self.headerBytes, by: 4).map {
                Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
        }
        guard fields[0] == Self.version else {
            throw Failure(
                .badInput, "\(name): an image set of version \(fields[0]); this program reads \(Self.version)")
        }
        let layout = ImageLayout(
            shape: Shape(channels: fields[4], height: fields[5], width: fields[6]), classes: fields[3],
            pixelType: fields[2] == 0 ? .uint8 : .float32)
        let count = fields[7]
        // A header may claim more bytes than a number can hold, so divide the size rather than multiply.
        guard fields[1] <= 1, fields[2] <= 1, layout.isWithinLimits,
            Self.count(layout, blobBytes: blob.count) == count
        else { throw Failure(.badInput, "\(name): the header contradicts the size of the image set") }
        self.init(checked: layout, fields[1] == 0 ? .test : .train, count: count, blob: blob)
        try withLabels { labels in
            if let image = labels.firstIndex(where: { !(0..<Int32(layout.classes)).contains($0) }) {
                throw Failure(
                    .badInput,
                    "\(name): image \(image) has label \(labels[image]); labels are 0 to \(layout.classes - 1)")
            }
        }
        try checkPixels(name: name)
    }

    /// Checks that float pixels are finite. Throws a `.badInput` ``Failure`` that names the image and the place.
    func checkPixels(name: String) throws {
        guard layout.pixelType == .float32 else { return }
        try withPixels { raw in
            let values = raw.bindMemory(to: Float.self)
            guard let place = values.firstIndex(where: { !$0.isFinite }) else { return }
            let (image, value) = place.quotientAndRemainder(dividingBy: layout.shape.count)
            let (channel, pixel) = value.quotientAndRemainder(dividingBy: layout.shape.pixels)
            throw Failure(
                .badInput,
                "\(name): image \(image) is \(values[place]) at channel \(channel), row \(pixel / layout.shape.width), "
                    + "column \(pixel % layout.shape.width)")
        }
    }
}
