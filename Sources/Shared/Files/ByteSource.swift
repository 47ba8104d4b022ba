/// Bytes read from the front, only as many as requested.
protocol ByteSource: AnyObject {
    /// What is read, for errors.
    var name: String { get }
    /// The most bytes that it can hold, whatever it claims.
    var bytesMax: Int { get }
    /// Reads as many bytes as are left, at most the buffer's. Throws a `.badInput` ``Failure``.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

extension ByteSource {
    /// The largest expansion of a byte of deflated data.
    static var deflationMax: Int { 1032 }

    /// Fills a buffer. Throws a `.badInput` ``Failure`` if there are fewer bytes.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        var filled = 0
        while filled < buffer.count {
            let got = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            guard got > 0 else {
                throw Failure(
                    .badInput, "\(name) is cut short: \(buffer.count) bytes are needed, but \(filled) are left")
            }
            filled += got
        }
    }

    /// Reads no more. Throws a `.badInput` ``Failure`` where something is left, or the checksum of compressed or archived
    /// bytes, which stands at their end, is not theirs.
    func finish() throws {
        var byte: UInt8 = 0
        guard try withUnsafeMutableBytes(of: &byte, { try read(into: $0) }) == 0 else {
            throw Failure(.badInput, "\(name) is longer than its header says")
        }
    }

    /// The next bytes.
    func bytes(_ count: Int) throws -> [UInt8] {
        guard count <= bytesMax else {
            throw Failure(.badInput, "\(name) is cut short: it cannot hold the \(count) bytes that its header promises")
        }
        return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            try fill(UnsafeMutableRawBufferPointer(buffer))
            filled = count
        }
    }
}
