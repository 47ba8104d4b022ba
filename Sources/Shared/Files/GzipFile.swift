import CZlib

/// A file that may be gzip-compressed.
final class GzipFile: ByteSource {
    let name: String
    let bytesMax: Int
    private let file: gzFile

    /// Opens a file. Throws a `.badInput` ``Failure``.
    init(_ path: String) throws {
        name = path
        let size = try InputFile.size(of: path)
        guard let file = gzopen(path, "rbe") else { throw Failure(.badInput, "cannot open \(path)") }
        self.file = file
        // Looks at the first bytes.
        bytesMax = gzdirect(file) == 1 ? size : size.multipliedReportingOverflow(by: Self.deflationMax).partialValue
    }

    deinit { gzclose(file) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let got = gzread(file, buffer.baseAddress, UInt32(min(buffer.count, 1 << 30)))
        var code: Int32 = 0
        let message = gzerror(file, &code)
        guard got >= 0, code == Z_OK || code == Z_STREAM_END else {
            // Z_BUF_ERROR: the compressed data end early.
            throw Failure(
                .badInput, "\(name) is cut short or damaged (\(message.map { String(cString: $0) } ?? "error \(code)"))"
            )
        }
        return Int(got)
    }
}
