import CZip
import Foundation

/// Writes a `.npz` file with uncompressed entries: images hardly compress, and this loads faster.
public final class NumpyArchive {
    /// Nil once the file is written.
    private var handle: OpaquePointer?
    private let path: String
    /// The contents of the entries, which must outlive the writing of the file.
    private var parts: [[UInt8]] = []

    /// Starts a file. Throws an `.unavailable` ``Failure`` if it cannot be created.
    public init(_ path: String) throws {
        var code: Int32 = 0
        guard let handle = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code) else {
            var error = zip_error_t()
            zip_error_init_with_code(&error, code)
            defer { zip_error_fini(&error) }
            throw Failure(.unavailable, "cannot write \(path): \(String(cString: zip_error_strerror(&error)))")
        }
        self.handle = handle
        self.path = path
    }

    /// Writes images and labels; `prefix` stands before the names of their arrays.
    public func add(_ images: ImageSet, prefix: String, hasLabels: Bool = true) throws {
        let shape = images.layout.shape
        let type = images.layout.pixelType == .uint8 ? "|u1" : "<f4"
        let (count, labelsAt, pixelsAt) = (
            images.count, ImageSet.headerBytes, ImageSet.pixelsOffset(count: images.count)
        )
        try add(
            "\(prefix)images", NumpyArray.header(type, shape: [count, shape.channels, shape.height, shape.width]),
            images.blob, pixelsAt..<images.blob.count)
        guard hasLabels else { return }
        try add("\(prefix)labels", NumpyArray.header("<i4", shape: [count]), images.blob, labelsAt..<pixelsAt)
    }

    /// Writes what the images do not say of themselves.
    public func add(classes: Int?, _ normalisation: Normalisation, mayBeMirrored: Bool = true) throws {
        if let classes {
            let number = withUnsafeBytes(of: Int64(classes).littleEndian, Array.init)
            try add("classes", NumpyArray.header("<i8", shape: []), number, 0..<number.count)
        }
        if !mayBeMirrored { try add("mirroring", NumpyArray.header("|u1", shape: []), [0], 0..<1) }
        if normalisation == .none { return }
        for (name, values) in [("mean", normalisation.mean), ("deviation", normalisation.deviation)] {
            let bytes = values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
            try add(name, NumpyArray.header("<f4", shape: [values.count]), bytes, 0..<bytes.count)
        }
    }

    private func add(_ name: String, _ header: [UInt8], _ bytes: [UInt8], _ range: Range<Int>) throws {
        parts += [header, bytes]
        // An array's elements stay in place as long as something holds the array.
        let source = header.withUnsafeBytes { header in
            bytes.withUnsafeBytes { bytes in
                var fragments = [header, UnsafeRawBufferPointer(rebasing: bytes[range])].map { part in
                    zip_buffer_fragment_t(
                        data: UnsafeMutablePointer(
                            mutating: part.baseAddress?.assumingMemoryBound(to: zip_uint8_t.self)),
                        length: zip_uint64_t(part.count))
                }
                return zip_source_buffer_fragment(handle, &fragments, 2, 0)
            }
        }
        guard let source else { throw failed() }
        let index = zip_file_add(handle, "\(name).npy", source, zip_flags_t(ZIP_FL_ENC_UTF_8))
        guard index >= 0 else {
            zip_source_free(source)
            throw failed()
        }
        guard zip_set_file_compression(handle, zip_uint64_t(index), ZIP_CM_STORE, 0) == 0 else { throw failed() }
    }

    /// Writes the file, which appears at its path only when complete. Throws an `.unavailable` ``Failure``.
    public func finish() throws {
        guard zip_close(handle) == 0 else { throw failed() }
        handle = nil
    }

    deinit { if let handle { zip_discard(handle) } }

    private func failed() -> Failure {
        Failure(.unavailable, "cannot write \(path): \(String(cString: zip_strerror(handle)))")
    }
}
