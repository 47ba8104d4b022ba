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

    /// A worker on a thread of its own that ends after so many milliseconds, or with the training.
    private final class ThreadWorker: Sendable {
        private let stop: WakeUp
        private let thread: BackgroundThread

        init(endpoint: String, folder: String, millisecondsToLive: Int? = nil) throws {
            let stop = try WakeUp()
            self.stop = stop
            let cache = try BlobCache(folder: folder)
            thread = BackgroundThread(name: "worker") {
                do {
                    let library = BlobLibrary(cache: cache, model: nil, data: nil)
                    let agent = try TrainingAgent(endpoint: endpoint, security: nil, threads: 2, library: library)
                    _ = try agent.run(stops: [stop.descriptor])
                } catch {
                    Issue.record(error)
                }
            }
            if let millisecondsToLive {
                DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(millisecondsToLive)) {
                    stop.signal()
                }
            }
        }

        func join() {
            stop.signal()
            thread.join()
        }
    }

    /// Trains with workers that live so long, one after the other, and a last one that stays.
    private func train(lives: [Int]) throws -> TrainingProgress {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let training = Self.images(seed: 1)
        let network = try InitialNetwork("resnet:4x8").network(seed: 3)
        var progress = try TrainingProgress(network, settings: Self.settings, imageCount: training.count)
        let test = Self.images(seed: 2)
        let materials = TrainingMaterials(
            network: network, teacher: nil, trainingImages: training, testImages: test, settings: Self.settings)
        let listener = try Listener(at: "tcp://127.0.0.1:0", admitting: .everybody, isInsecureMeant: false)
        let endpoint = listener.endpoint
        let workers = try (lives.map { Optional($0) } + [nil]).map {
            try ThreadWorker(endpoint: endpoint, folder: "\(folder)/cache", millisecondsToLive: $0)
        }
        defer { for worker in workers { worker.join() } }
        let cluster = TrainingCluster(at: listener, serving: materials, layout: progress.layout, localWorkers: nil)
        let origin = TrainingFile.Origin(trainingImages: training.digest, teacher: nil)
        let session = TrainingSession(
            cluster: cluster, file: try TrainingFile.create(at: "\(folder)/state", progress, origin),
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
        let disturbed = try train(lives: [60, 150])
        #expect(disturbed.trained == calm.trained)
        #expect(disturbed.statistics == calm.statistics)
        #expect(disturbed.history.epochs.map(\.testLoss) == calm.history.epochs.map(\.testLoss))
    }
}
