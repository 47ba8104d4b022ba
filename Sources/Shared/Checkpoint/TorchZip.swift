/// PyTorch's format since 1.6: a zip archive with one folder that holds the checkpoint as `data.pkl` and every storage
/// as `data/<key>`, uncompressed; repacked archives may be compressed.
enum TorchZip {
    /// The longest `data.pkl`.
    static let pickleBytesMax = 64 << 20

    /// Whether bytes begin like a zip archive.
    static func matches(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) }

    /// Reads all dictionaries of tensors.
    static func read(_ bytes: [UInt8]) throws -> [StoredWeights] {
        try bytes.withUnsafeBytes { buffer in
            let archive = try ZipArchive(over: buffer)
            var entries: [String: ZipArchive.Entry] = [:]
            for entry in try archive.entries() { entries[entry.name] = entry }
            let isCompressed = entries.values.contains(where: \.isCompressed)
            guard let description = entries.values.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
                throw Failure(
                    .badInput,
                    "a zip archive without data.pkl, so not a PyTorch checkpoint (TorchScript is not supported)")
            }
            let folder = description.name.dropLast("data.pkl".count)
            try checkByteOrder(entries[folder + "byteorder"], archive)
            guard description.size <= Self.pickleBytesMax else {
                throw Failure(
                    .badInput, "\(description.name) has \(description.size) bytes; the limit is \(pickleBytesMax)")
            }
            var reader = ByteReader(try archive.bytes(of: description), part: description.name)
            let checkpoint = TorchPickle(try PickleReader.read(&reader))

            // Otherwise entries that overlap in the archive, or expand without end, could use any amount of memory.
            var bytesLeft = isCompressed ? Checkpoint.bytesMax : bytes.count
            var cache: [String: ArraySlice<UInt8>] = [:]
            return try checkpoint.weights { storage in
                if let known = cache[storage.key] { return known }
                guard let entry = entries["\(folder)data/\(storage.key)"] else {
                    throw Failure(.badInput, "its storage data/\(storage.key) is missing from the archive")
                }
                guard entry.size >= storage.bytes else {
                    throw Failure(
                        .badInput,
                        "its storage data/\(storage.key) has \(entry.size) bytes, but \(storage.bytes) are needed")
                }
                bytesLeft -= entry.size
                guard bytesLeft >= 0 else {
                    throw Failure(
                        .badInput,
                        isCompressed
                            ? "the archive expands to more than \(Checkpoint.bytesMax) bytes"
                            : "the archive's entries overlap")
                }
                let content = try archive.bytes(of: entry).prefix(storage.bytes)
                cache[storage.key] = content
                return content
            }
        }
    }

    private static func checkByteOrder(_ entry: ZipArchive.Entry?, _ archive: borrowing ZipArchive) throws {
        guard let entry else { return }  // before PyTorch 2.1
        guard entry.size == "little".utf8.count, try archive.bytes(of: entry) == Array("little".utf8) else {
            throw Failure(.badInput, "the checkpoint was not written on a little-endian machine")
        }
    }
}
