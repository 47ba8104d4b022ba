/// Labelled images of one shape. A set describes itself completely, and so do the bytes that transfer and identify it:
/// its ``blob``.
public struct ImageSet: Sendable, Equatable {
    /// What the images have in common.
    public private(set) var layout: ImageLayout
    /// Which part of a data set it is of.
    public let split: EvaluationSettings.Split
    /// The number of images.
    public let count: Int
    /// The whole set as bytes, in the form that `ImageSet+Blob.swift` describes. Its digest names the set.
    public private(set) var blob: [UInt8]

    /// Makes a set of `count` images; `fill` must write all labels and pixels (`[image, channel, row, column]`). Labels
    /// must be among the layout's classes; readers check that.
    public init(
        _ layout: ImageLayout, split: EvaluationSettings.Split, count: Int,
        fill: (_ labels: UnsafeMutableBufferPointer<Int32>, _ pixels: UnsafeMutableRawBufferPointer) throws -> Void
    ) rethrows {
        precondition(layout.isWithinLimits && (0...Self.countMax).contains(count), "readers bound what they read")
        self.layout = layout
        self.split = split
        self.count = count
        let pixelsOffset = Self.pixelsOffset(count: count)
        let bytes = pixelsOffset + count * layout.imageBytes
        blob = try [UInt8](unsafeUninitializedCapacity: bytes) { buffer, filled in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            raw.copyBytes(from: Self.header(layout, split, count))
            let labels = UnsafeMutableRawBufferPointer(rebasing: raw[Self.headerBytes..<pixelsOffset])
            try fill(
                labels.bindMemory(to: Int32.self),
                UnsafeMutableRawBufferPointer(rebasing: raw[pixelsOffset..<bytes]))
            filled = bytes
        }
    }

    /// A set from parts that were read and checked; see ``init(blob:name:)``.
    init(checked layout: ImageLayout, _ split: EvaluationSettings.Split, count: Int, blob: [UInt8]) {
        self.layout = layout
        self.split = split
        self.count = count
        self.blob = blob
    }

    /// The digest that identifies the set. O(size).
    public var digest: Digest { Digest(sha256Of: blob) }

    /// The label of an image.
    public func label(_ image: Int) -> Int {
        precondition((0..<count).contains(image), "there is no such image")
        return Int(withLabels { $0[image] })
    }

    /// The bytes of an image's pixels, `[channel, row, column]`.
    public func pixels(_ image: Int) -> ArraySlice<UInt8> {
        precondition((0..<count).contains(image), "there is no such image")
        let start = Self.pixelsOffset(count: count) + image * layout.imageBytes
        return blob[start..<start + layout.imageBytes]
    }

    /// Calls `body` with the labels of all images.
    public func withLabels<Result>(_ body: (UnsafeBufferPointer<Int32>) throws -> Result) rethrows -> Result {
        try blob.withUnsafeBytes { raw in
            let labels = UnsafeRawBufferPointer(rebasing: raw[Self.headerBytes..<Self.pixelsOffset(count: count)])
            return try body(labels.bindMemory(to: Int32.self))
        }
    }

    /// Calls `body` with the pixels of all images, `[image, channel, row, column]`.
    public func withPixels<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try blob.withUnsafeBytes {
            try body(UnsafeRawBufferPointer(rebasing: $0[Self.pixelsOffset(count: count)...]))
        }
    }

    /// Tells more classes apart than have images. The pixels stay where they are: there may be no room for them twice.
    mutating func tell(classes: Int) {
        layout.classes = classes
        let header = Self.header(layout, split, count)
        blob.replaceSubrange(..<header.count, with: header)
    }

    /// The images of these numbers, in their order.
    public func picking(_ images: [Int]) -> ImageSet {
        ImageSet(layout, split: split, count: images.count) { labels, pixels in
            for (place, image) in images.enumerated() {
                labels[place] = Int32(label(image))
                let bytes = place * layout.imageBytes..<(place + 1) * layout.imageBytes
                UnsafeMutableRawBufferPointer(rebasing: pixels[bytes]).copyBytes(from: self.pixels(image))
            }
        }
    }

    /// Some images of the set, in their order.
    public func subset(_ images: Range<Int>) -> ImageSet {
        if images == 0..<count { return self }
        return ImageSet(layout, split: split, count: images.count) { labels, pixels in
            withLabels { _ = labels.update(fromContentsOf: $0[images]) }
            let bytes = images.lowerBound * layout.imageBytes..<images.upperBound * layout.imageBytes
            withPixels { pixels.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[bytes])) }
        }
    }
}

extension ImageSet {
    /// Checks that a network takes these images and has their classes. Throws a `.badInput` ``Failure``.
    public func check(fits graph: Graph) throws {
        let input = graph.imageShape
        // Inputs that are flattened first may have any shape with as many values.
        let isFlattened = graph.readers[0].allSatisfy { graph.nodes[$0].operation == .flatten }
        guard graph.classes == layout.classes,
            input == layout.shape || (isFlattened && input.count == layout.shape.count)
        else {
            throw Failure(
                .badInput,
                "the network takes images of \(input) and has \(graph.classes) outputs, but the images are \(layout)")
        }
    }

    /// Checks that a normalisation has this many channels. Throws a `.badInput` ``Failure``.
    public func check(_ normalisation: Normalisation) throws {
        guard layout.pixelType == .float32 || normalisation.mean.count == layout.shape.channels else {
            throw Failure(
                .badInput,
                "the normalisation is for \(normalisation.mean.count) channels, but the images have "
                    + "\(layout.shape.channels); give --mean and --deviation a value for each")
        }
    }
}
