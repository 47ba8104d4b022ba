@testable import Shared

/// Bytes in memory as if from a file that may be compressed.
private final class MemorySource: ByteSource {
    let name = "input"
    let bytesMax: Int
    private var left: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        left = bytes[...]
        bytesMax = bytes.count
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let next = left.prefix(buffer.count)
        buffer.copyBytes(from: next)
        left = left.dropFirst(next.count)
        return next.count
    }
}

extension FuzzTarget {
    func numpy(_ bytes: [UInt8]) throws {
        let array = try NumpyArray(MemorySource(bytes))
        precondition(array.count * array.element.bytes <= bytes.count, "an array is not larger than its file")
        let values = try array.integers()
        precondition(values.count == array.count, "every value is read")
    }

    func numpyArchive(_ bytes: [UInt8]) throws {
        let file = Self.archive
        file.write(bytes)
        try readAll(ImageSource(file.path, format: .numpy))
    }

    /// The first byte says which of the two files are compressed, two more the length of the label file.
    func idx(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let kinds = input.byte()
        let labels = input.block()
        let images = Array(bytes.dropFirst(3 + labels.count))
        let folder = Self.folder
        folder.empty()
        folder.write(labels, "train-labels-idx1-ubyte" + (kinds & 1 == 0 ? "" : ".gz"))
        folder.write(images, "train-images-idx3-ubyte" + (kinds & 2 == 0 ? "" : ".gz"))
        try readAll(ImageSource(folder.path, format: .idx))
    }

    func cifarPython(_ bytes: [UInt8]) throws {
        let folder = Self.folder
        folder.empty()
        folder.write(bytes, "test_batch")
        try readAll(ImageSource(folder.path, format: .cifar10))
    }

    /// Reads every split. Read images have labels of their classes, and come back equal from their blob.
    private func readAll(_ source: ImageSource) throws {
        let data = try source.open()
        for split in data.splits {
            let set = try data.read(split)
            for image in 0..<set.count { precondition(set.label(image) < set.layout.classes, "a label is a class") }
            let again = try ImageSet(blob: set.blob, name: "written")
            precondition(again == set, "comes back changed")
        }
    }

    private static let archive = ScratchFile("images.npz")
    private static let folder = ScratchFolder("images")

    func pictures(_ bytes: [UInt8]) throws {
        let picture = try Picture(decoding: bytes)
        precondition(picture.width > 0 && picture.height > 0, "a picture has pixels")
        let transform = PictureTransform(resize: 6, crop: 5)
        var image = [UInt8](repeating: 1, count: 3 * 5 * 5)
        let expected = transform.size(height: picture.height, width: picture.width)
        precondition(expected == (5, 5), "a crop decides the size")
        image.withUnsafeMutableBufferPointer { buffer in
            if let base = buffer.baseAddress { transform.apply(picture, to: base) }
        }
    }
}
