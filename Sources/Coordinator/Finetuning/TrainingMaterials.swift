import Shared

/// What workers of a training fetch, by digest: networks and images.
struct TrainingMaterials: Sendable {
    /// What is announced to workers.
    let welcome: TrainingWelcome
    /// Images of the training split.
    let trainingImageCount: Int
    /// Images of the test split.
    let testImageCount: Int
    private let contents: [Digest: [UInt8]]

    /// The materials of a training of `network` by `settings`.
    init(
        network: Network, teacher: Network?, trainingImages: ImageSet, testImages: ImageSet, settings: TrainingSettings
    ) {
        var contents: [Digest: [UInt8]] = [:]
        func add(_ bytes: [UInt8]) -> CoordinatorMessage.Blob {
            let digest = Digest(sha256Of: bytes)
            contents[digest] = bytes
            return CoordinatorMessage.Blob(digest: digest, size: UInt64(bytes.count))
        }
        welcome = TrainingWelcome(
            run: .random(), network: add(Checkpoint.safetensors(of: network)),
            teacher: teacher.map { add(Checkpoint.safetensors(of: $0)) }, trainingImages: add(trainingImages.records),
            testImages: add(testImages.records), normalisation: settings.normalisation, loss: settings.loss,
            shardSize: settings.shardSize)
        trainingImageCount = trainingImages.count
        testImageCount = testImages.count
        self.contents = contents
    }

    /// A part of what is announced, or nil where there is no such part.
    func chunk(_ range: WorkerMessage.BlobRange) -> CoordinatorMessage.Chunk? {
        guard let bytes = contents[range.digest], range.length <= Wire.chunkBytesMax,
            range.offset <= UInt64(bytes.count), UInt64(range.length) <= UInt64(bytes.count) - range.offset
        else { return nil }
        let start = Int(range.offset)
        return CoordinatorMessage.Chunk(
            digest: range.digest, offset: range.offset, bytes: Array(bytes[start..<start + range.length]))
    }
}
