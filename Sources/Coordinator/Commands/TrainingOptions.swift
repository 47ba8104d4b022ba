import Foundation
import Shared

/// The options that `train` and `finetune` share.
struct TrainingOptions {
    @Option("The folder of the CIFAR-10 binary batches.", value: "DIR") var data: String
    @Option(
        "Where to write the network of the last epoch; the best one by validation (-best.safetensors) and the curves "
            + "(-curve.csv, -curve.json) are written beside it.", value: "FILE")
    var output: String
    @Option("The file that keeps the training's state; OUTPUT.training, where not given.", value: "FILE")
    var state: String?
    @Flag("Go on with the training in the state file, by its settings; other training options are not read.")
    var resume: Bool
    @Option("Passes over the training images.", value: "N") var epochs: Int = 40
    @Option("Images of a step.", value: "N") var batchSize: Int = 128
    @Option(
        "Shares of a step, which workers compute at the same time, each with batch-norm statistics of its own. The result "
            + "depends on it, but not on who computes them.", value: "N")
    var shards: Int = 2
    @Option("The greatest learning rate.", value: "RATE") var learningRate: Double = 0.05
    @Option(
        "How the learning rate falls: cosine (to zero) or step (to a tenth after half of the epochs, a hundredth after "
            + "three quarters).", value: "FORM")
    var schedule: LearningRateSchedule.Form = .cosine
    @Option("Epochs in which the learning rate rises to its greatest value.", value: "N") var warmUp: Double = 1
    @Option("The momentum.", value: "M") var momentum: Double = 0.9
    @Flag("Use Nesterov's momentum.") var nesterov: Bool
    @Option("The weight decay.", value: "D") var weightDecay: Double = 5e-4
    @Flag("Let scales and shifts of batch normalisations decay too.") var decayNormalisation: Bool
    @Option("The share of a label that is spread over all classes.", value: "S") var labelSmoothing: Double = 0
    @Option("A network to learn from as well, such as the unpruned one (knowledge distillation).", value: "FILE")
    var distillFrom: String?
    @Option("The temperature of the distillation.", value: "T") var distillTemperature: Double = 4
    @Option("The share of the distillation in the loss, 0 to 1.", value: "W") var distillWeight: Double = 0.7
    @Flag("Train on the images as they are, neither cropped nor mirrored.") var noAugmentation: Bool
    @Option(
        "Keep the last N training images out of training, to see how well others are recognised.", value: "N")
    var validationImages: Int = 0
    @Option("The seed of the images' order and distortion, and of initial parameters.", value: "S") var seed: UInt64 = 1
    @OptionGroup var cluster = ClusterOptions()

    /// The settings. Throws a `.usage` ``Failure``.
    func settings() throws -> TrainingSettings {
        var settings = TrainingSettings()
        settings.epochs = epochs
        settings.batchSize = batchSize
        settings.shards = shards
        settings.schedule = LearningRateSchedule(
            form: schedule, peak: Float(learningRate), warmUpEpochs: min(warmUp, Double(epochs) / 2))
        settings.optimizer = MomentumOptimizer.Settings(
            momentum: Float(momentum), nesterov: nesterov, weightDecay: Float(weightDecay),
            decaysNormalisation: decayNormalisation)
        settings.loss = TrainingLoss(labelSmoothing: Float(labelSmoothing))
        if distillFrom != nil {
            settings.loss.distillation = TrainingLoss.Distillation(
                temperature: Float(distillTemperature), weight: Float(distillWeight))
        }
        settings.seed = seed
        settings.augments = !noAugmentation
        settings.validationImages = validationImages
        try settings.validate()
        return settings
    }

    /// Trains `network`, or goes on with what the state file has. Throws a ``Failure``.
    func train(_ network: () throws -> Network) throws {
        signal(SIGPIPE, SIG_IGN)
        let signals = try SignalQueue([SIGINT, SIGTERM])
        let training = try CIFAR10.read(directory: data, split: .train, limit: nil)
        let test = try CIFAR10.read(directory: data, split: .test, limit: nil)
        let listener = try cluster.listen()
        let statePath = state ?? "\(output).training"
        var (file, progress, origin) = try begin(training, at: statePath, network)
        Log.shared.line("listening at \(listener.endpoint)")
        let materials = TrainingMaterials(
            network: progress.network, teacher: origin.teacher, trainingImages: training, testImages: test,
            settings: progress.settings)
        let localWorkers = try cluster.startLocalWorkers(
            connectingTo: listener.localEndpoint, environment: listener.localEnvironment)
        do {
            defer {
                Log.shared.clearStatus()
                localWorkers?.stop()
            }
            let cluster = TrainingCluster(
                at: listener, serving: materials, layout: progress.layout, localWorkers: localWorkers)
            let session = TrainingSession(
                cluster: cluster, file: file, outputs: TrainingOutputs(network: output), testImageCount: test.count)
            try session.run(&progress, signals: signals)
            try cluster.finish()
        }
        report(progress)
    }

    private func begin(
        _ training: ImageSet, at statePath: String, _ network: () throws -> Network
    ) throws -> (TrainingFile, TrainingProgress, TrainingFile.Origin) {
        let digest = Digest(sha256Of: training.records)
        if resume {
            let (file, progress, origin) = try TrainingFile.open(at: statePath)
            guard origin.trainingImages == digest else {
                throw Failure(.badInput, "\(statePath) trains on other images than those in \(data)")
            }
            Log.shared.line(
                "going on in epoch \(progress.position.epoch + 1) of \(progress.settings.epochs), step "
                    + "\(progress.position.step)")
            return (file, progress, origin)
        }
        let settings = try settings()
        let teacher = try distillFrom.map { try Checkpoint.network(at: $0) }
        let origin = TrainingFile.Origin(trainingImages: digest, teacher: teacher)
        let progress = try TrainingProgress(try network(), settings: settings, imageCount: training.count)
        return (try TrainingFile.create(at: statePath, progress, origin), progress, origin)
    }

    private func report(_ progress: TrainingProgress) {
        guard let last = progress.history.epochs.last else { return }
        func percent(_ share: Double?) -> String { share.map { Progress.fixed($0 * 100, 2) + " %" } ?? "unknown" }
        let outputs = TrainingOutputs(network: output)
        print("test accuracy after the last epoch: \(percent(last.testAccuracy)) (\(output))")
        if let best = progress.history.bestByValidation {
            print(
                "best by validation: epoch \(best.epoch), validation \(percent(best.validationAccuracy)), test "
                    + "\(percent(best.testAccuracy)) (\(outputs.bestNetwork))")
        }
        print("before training: \(percent(progress.history.testAccuracyBefore)); curves: \(outputs.curveCSV)")
    }
}

extension LearningRateSchedule.Form: ArgumentValue {}
