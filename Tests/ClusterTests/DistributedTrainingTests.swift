import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator
@testable import Worker

/// Training through real sockets, with workers that come and go.
@Suite struct DistributedTrainingTests {
    private static let imageCount = 48

    private static func images(seed: UInt64) -> ImageSet {
        var random = SplitMix64(seed: seed)
        return .random(imageCount, using: &random)
    }

    private static var settings: TrainingSettings {
        var settings = TrainingSettings()
        settings.epochs = 2
        settings.batchSize = 12
        settings.shards = 3
        settings.validationImages = 10
        settings.loss.labelSmoothing = 0.1
        return settings
    }

    /// Trains with workers that are killed after this many milliseconds, each restarted, and one that stays.
    private func train(lives: [Int]) throws -> TrainingProgress {
        let workers = try TestCluster()
        let folder = workers.folder
        let training = Self.images(seed: 1)
        let network = try InitialNetwork("resnet:4x8").network(seed: 3)
        var progress = try TrainingProgress(network, settings: Self.settings, imageCount: training.count)
        let test = Self.images(seed: 2)
        let origin = TrainingFile.Origin(trainingImages: training.digest, teacher: nil)
        let file = try TrainingFile.create(at: "\(folder)/state", progress, origin)
        let materials = TrainingMaterials(
            network: network, teacher: nil, trainingImages: training, testImages: test, settings: Self.settings,
            life: try file.beginLife())
        let listener = try Listener(at: "tcp://127.0.0.1:0", admitting: .everybody, isInsecureMeant: false)
        let endpoint = listener.endpoint
        let steady = try workers.startWorker(endpoint)
        for life in lives {
            let victim = try workers.startWorker(endpoint).identifier
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(life)) { kill(victim, SIGKILL) }
        }
        defer { steady.signal(SIGKILL) }
        let cluster = StepLoop(at: listener, serving: materials, layout: progress.layout, localWorkers: nil)
        let session = TrainingSession(
            cluster: cluster, file: file,
            outputs: TrainingOutputs(network: "\(folder)/out.safetensors"), testImageCount: test.count)
        let signals = try SignalQueue([SIGUSR2])
        try session.run(&progress, signals: signals)
        try cluster.finish()
        #expect(try Checkpoint.network(at: "\(folder)/out.safetensors") == progress.network)
        #expect(InputFile.isReadable("\(folder)/out-best.safetensors"))
        #expect(InputFile.isReadable("\(folder)/out-curve.json"))
        #expect(InputFile.isReadable("\(folder)/out-report.html"))
        return progress
    }

    @Test func workersThatComeAndGoChangeNoBitOfTheResult() throws {
        let calm = try train(lives: [])
        #expect(calm.history.epochs.count == 2)
        #expect(
            calm.trained
                != ParameterLayout(calm.graph).flatten(
                    try InitialNetwork("resnet:4x8").network(seed: 3)
                ).trained)
        let disturbed = try train(lives: [400, 600, 900])
        #expect(disturbed.trained == calm.trained)
        #expect(disturbed.statistics == calm.statistics)
        #expect(disturbed.history.epochs.map(\.testLoss) == calm.history.epochs.map(\.testLoss))
    }
}
