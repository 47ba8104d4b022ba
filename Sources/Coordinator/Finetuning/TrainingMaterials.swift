import Shared

/// What workers of a training fetch, by digest: networks and images.
struct TrainingMaterials: Sendable {
    /// What is announced to workers.
    let welcome: TrainingWelcome
    /// Images of the training split.
    let trainingImageCount: Int
    /// Images of the test split.
    let testImageCount: Int
    /// What is announced.
    let store: BlobStore

    /// The materials of a training of `network` by `settings`.
    init(
        network: Network, teacher: Network?, trainingImages: ImageSet, testImages: ImageSet, settings: TrainingSettings
    ) {
        var store = BlobStore()
        welcome = TrainingWelcome(
            run: .random(), network: store.add(Checkpoint.safetensors(of: network)),
            teacher: teacher.map { store.add(Checkpoint.safetensors(of: $0)) },
            trainingImages: store.add(trainingImages.blob),
            testImages: store.add(testImages.blob), normalisation: settings.normalisation, loss: settings.loss,
            shardSize: settings.shardSize, precision: settings.precision, cutout: settings.cutout,
            mirrors: settings.mirrors)
        trainingImageCount = trainingImages.count
        testImageCount = testImages.count
        self.store = store
    }
}
