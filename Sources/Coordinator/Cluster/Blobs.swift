import Shared

/// The files that workers need, by digest: the network's checkpoint and the records of the images.
struct Blobs {
    let network: CoordinatorMessage.Blob
    let images: CoordinatorMessage.Blob
    let calibrationImages: CoordinatorMessage.Blob?
    private let contents: [Digest: [UInt8]]

    /// The blobs of a run.
    init(checkpoint: [UInt8], images: ImageSet, calibrationImages: ImageSet?) {
        var contents: [Digest: [UInt8]] = [:]
        func add(_ bytes: [UInt8]) -> CoordinatorMessage.Blob {
            let digest = Digest(sha256Of: bytes)
            contents[digest] = bytes
            return CoordinatorMessage.Blob(digest: digest, size: UInt64(bytes.count))
        }
        network = add(checkpoint)
        self.images = add(images.records)
        self.calibrationImages = calibrationImages.map { add($0.records) }
        self.contents = contents
    }

    /// A part of a blob, or nil where there is no such part.
    func chunk(_ range: WorkerMessage.BlobRange) -> CoordinatorMessage.Chunk? {
        guard let bytes = contents[range.digest], range.length <= Wire.chunkBytesMax,
            range.offset <= UInt64(bytes.count), UInt64(range.length) <= UInt64(bytes.count) - range.offset
        else { return nil }
        let start = Int(range.offset)
        return CoordinatorMessage.Chunk(
            digest: range.digest, offset: range.offset, bytes: Array(bytes[start..<start + range.length]))
    }
}
