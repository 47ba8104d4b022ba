import Shared

/// Files that workers fetch in parts, by digest.
struct BlobStore: Sendable {
    private var contents: [Digest: [UInt8]] = [:]

    /// Keeps a file, and returns how it is announced to workers.
    mutating func add(_ bytes: [UInt8]) -> CoordinatorMessage.Blob {
        let digest = Digest(sha256Of: bytes)
        contents[digest] = bytes
        return CoordinatorMessage.Blob(digest: digest, size: UInt64(bytes.count))
    }

    /// A part of a file, or nil if there is no such part.
    func chunk(_ range: WorkerMessage.BlobRange) -> CoordinatorMessage.Chunk? {
        guard let bytes = contents[range.digest], range.length <= Wire.chunkBytesMax,
            range.offset <= UInt64(bytes.count), UInt64(range.length) <= UInt64(bytes.count) - range.offset
        else { return nil }
        let start = Int(range.offset)
        return CoordinatorMessage.Chunk(
            digest: range.digest, offset: range.offset, bytes: Array(bytes[start..<start + range.length]))
    }
}
