import CZip

/// One entry of a zip archive, which may be compressed.
final class ZipEntryFile: ByteSource {
    let name: String
    let bytesMax: Int
    private let archive: ZipArchive
    private let file: OpaquePointer

    /// Opens an entry; nil if there is none of that name. Throws a `.badInput` ``Failure``.
    init?(of path: String, _ entryName: String) throws {
        let archive = try ZipArchive(at: path)
        guard let entry = try archive.entries().first(where: { $0.name == entryName }) else {
            return nil
        }
        name = "\(entryName) in \(path)"
        // An entry may claim any length; its stored size bounds what it can expand to.
        bytesMax = min(entry.size, entry.storedSize.multipliedReportingOverflow(by: Self.deflationMax).partialValue)
        file = try archive.open(entry)
        self.archive = archive
    }

    deinit { zip_fclose(file) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let got = zip_fread(file, buffer.baseAddress, zip_uint64_t(buffer.count))
        guard got >= 0 else { throw Failure(.badInput, "\(name) is damaged") }
        return Int(got)
    }
}
