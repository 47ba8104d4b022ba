import Shared

/// The files that workers of a training download, by digest: networks and images.
struct TrainingMaterials: Sendable {
    /// The announcement to workers.
    let welcome: CoordinatorMessage.Welcome
    /// Images of the training split.
    let trainingImageCount: Int
    /// Images of the test split.
    let testImageCount: Int
    /// The announcement.
    let store: BlobStore

    /// Missed heartbeats after which the other side counts as gone: none are sent while a large network is saved.
    private static let liveness = 8

    /// The materials of a training of `network` by `settings`.
    init(
        network: Network, teacher: Network?, trainingImages: ImageSet, testImages: ImageSet, settings: TrainingSettings,
        life: (run: RunID, life: UInt32)
    ) {
        var store = BlobStore()
        let layout = ParameterLayout(network.graph)
        let work = TrainingWork(
            network: store.add(Checkpoint.safetensors(of: network)),
            teacher: teacher.map { store.add(Checkpoint.safetensors(of: $0)) },
            trainingImages: store.add(trainingImages.blob),
            testImages: store.add(testImages.blob), normalisation: settings.normalisation, loss: settings.loss,
            shardSize: settings.shardSize, precision: settings.precision, cutout: settings.cutout,
            mirrors: settings.mirrors, rowCount: layout.trainedCount + layout.statisticsCount)
        welcome = CoordinatorMessage.Welcome(
            run: life.run, life: life.life, work: .training(work), liveness: Self.liveness)
        trainingImageCount = trainingImages.count
        testImageCount = testImages.count
        self.store = store
    }
}
