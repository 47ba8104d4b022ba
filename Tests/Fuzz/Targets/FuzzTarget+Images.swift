@testable import Shared

/// Bytes in memory as a file that may be compressed gives them.
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
