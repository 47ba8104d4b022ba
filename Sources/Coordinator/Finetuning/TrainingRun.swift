import Shared

/// One training, from the state in its file to its last epoch, on local workers and those that connect.
struct TrainingRun {
    let trainingImages: ImageSet
    let testImages: ImageSet
    let cluster: ClusterOptions
    let outputs: TrainingOutputs
    /// The live page; nil if not requested.
    var dashboard: Dashboard?

    /// Trains to the last epoch and returns the final state. Throws an `.interrupted` ``Failure`` on a signal; progress
    /// is in the file.
    func run(
        _ state: (file: TrainingFile, progress: TrainingProgress, origin: TrainingFile.Origin),
        at listener: consuming Listener, signals: borrowing SignalQueue
    ) throws -> TrainingProgress {
        var progress = state.progress
        Log.shared.line("listening at \(listener.endpoint)")
        let materials = TrainingMaterials(
            network: progress.network, teacher: state.origin.teacher, trainingImages: trainingImages,
            testImages: testImages, settings: progress.settings, life: try state.file.beginLife())
        let localWorkers = try cluster.startLocalWorkers(
            connectingTo: listener.localEndpoint, environment: listener.localEnvironment)
        defer {
            Log.shared.clearStatus()
            localWorkers?.stop()
        }
        let cluster = StepLoop(
            at: listener, serving: materials, layout: progress.layout, localWorkers: localWorkers)
        // The workers end first: they would complain about a closed socket.
        defer { withExtendedLifetime(cluster) { localWorkers?.stop() } }
        let session = TrainingSession(
            cluster: cluster, file: state.file, outputs: outputs, testImageCount: testImages.count,
            page: dashboard.map {
                TrainingPage($0, of: progress, file: state.file.path, images: trainingImages.count)
            })
        try session.run(&progress, signals: signals)
        try cluster.finish()
        return progress
    }
}
