import CZip

/// A zip archive in memory or in a file.
struct ZipArchive: ~Copyable {
    /// More entries than a checkpoint of any network here has.
    static let entriesMax = 200_000

    /// One file of the archive.
    struct Entry {
        let index: UInt64
        let name: String
        /// Its length in bytes.
        let size: Int
        /// Its length in the archive.
        let storedSize: Int
        /// Whether it is compressed, so a small archive may expand to much.
        let isCompressed: Bool
    }

    private let handle: OpaquePointer

    /// Opens an archive over `bytes`, which must outlive it.
    init(over bytes: UnsafeRawBufferPointer) throws {
        var error = zip_error_t()
        zip_error_init(&error)
        defer { zip_error_fini(&error) }
        guard let source = zip_source_buffer_create(bytes.baseAddress, zip_uint64_t(bytes.count), 0, &error) else {
            throw Self.failure("is unreadable", &error)
        }
        guard let handle = zip_open_from_source(source, ZIP_RDONLY, &error) else {
            zip_source_free(source)
            throw Self.failure(
                "the zip archive is cut short or damaged: its directory, which should end the file at byte "
                    + "\(bytes.count), is unreadable", &error)
        }
        self.handle = handle
    }

    /// Opens an archive in a file. Throws a `.badInput` ``Failure``.
    init(at path: String) throws {
        _ = try InputFile.size(of: path)
        var error = zip_error_t()
        zip_error_init(&error)
        defer { zip_error_fini(&error) }
        var code: Int32 = 0
        guard let handle = zip_open(path, ZIP_RDONLY, &code) else {
            zip_error_init_with_code(&error, code)
            throw Self.failure("\(path): the zip archive is cut short or damaged", &error)
        }
        self.handle = handle
    }

    deinit { zip_discard(handle) }

    /// All entries. Their sizes are the archive's word, and the caller's to bound.
    func entries() throws -> [Entry] {
        let count = zip_get_num_entries(handle, 0)
        guard count <= Self.entriesMax else {
            throw Failure(.badInput, "the zip archive has \(count) entries; the limit is \(Self.entriesMax)")
        }
        return try (0..<UInt64(max(count, 0))).map { index in
            var status = zip_stat_t()
            let needed = UInt64(ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD)
            guard zip_stat_index(handle, index, 0, &status) == 0, status.valid & needed == needed,
                let name = String(validatingCString: status.name)
            else { throw damaged("its entry \(index) is unreadable") }
            return Entry(
                index: index, name: name, size: Int(clamping: status.size),
                storedSize: Int(clamping: status.comp_size), isCompressed: status.comp_method != ZIP_CM_STORE)
        }
    }

    /// Opens an entry for reading from its start. The caller closes it with `zip_fclose` before the archive is closed.
    func open(_ entry: Entry) throws -> OpaquePointer {
        guard let file = zip_fopen_index(handle, entry.index, 0) else {
            throw damaged("its \(entry.name) is unreadable")
        }
        return file
    }

    /// The bytes of an entry, verified by its checksum. The caller bounds its size.
    func bytes(of entry: Entry) throws -> [UInt8] {
        let file = try open(entry)
        defer { zip_fclose(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: entry.size) { buffer, filled in
            while filled < entry.size, let base = buffer.baseAddress {
                let got = zip_fread(file, base + filled, zip_uint64_t(entry.size - filled))
                if got <= 0 { break }
                filled += Int(got)
            }
        }
        // The checksum is compared when the end is read.
        var beyond: UInt8 = 0
        guard bytes.count == entry.size, zip_fread(file, &beyond, 1) == 0 else {
            throw damaged("its \(entry.name) is cut short or fails its checksum")
        }
        return bytes
    }

    private func damaged(_ what: String) -> Failure { Failure(.badInput, "the zip archive is damaged: \(what)") }

    private static func failure(_ what: String, _ error: inout zip_error_t) -> Failure {
        Failure(.badInput, "\(what) (\(String(cString: zip_error_strerror(&error))))")
    }
}
