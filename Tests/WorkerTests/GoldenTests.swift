import Foundation
import Shared
import TestSupport
import Testing

@testable import Worker

/// Losses that PyTorch computed for masks of the trained networks. A few masks of each file, all of them where
/// `WINNOW_TEST_GOLDEN=all`, which takes a minute on two idle cores.
@Suite(.enabled(if: TestData.isPresent, "CIFAR-10 and the trained networks are not here"), .serialized)
struct GoldenTests {
    @Test(arguments: ["resnet20", "resnet56"])
    func frozenLossesAreThoseOfPyTorch(name: String) throws {
        try compare(name, golden: name, batchNorm: .frozen, tolerance: 1e-4)
    }

    @Test(arguments: ["resnet20", "resnet56"])
    func recalibratedLossesAreThoseOfPyTorch(name: String) throws {
        try compare(name, golden: "\(name)-recalibrated", batchNorm: .recalibrated(images: 256), tolerance: 1e-3)
    }

    private struct Golden: Decodable {
        struct Entry: Decodable {
            let disabled: [String: [Int]]
            let loss: Double
            let correct: Int
        }
        let images: Int
        let masks: [Entry]
    }

    private func compare(
        _ model: String, golden name: String, batchNorm: EvaluationSettings.BatchNorm, tolerance: Double
    ) throws {
        let golden = try JSONDecoder().decode(
            Golden.self, from: Data(contentsOf: URL(fileURLWithPath: TestData.golden(name))))
        let isWhole = ProcessInfo.processInfo.environment["WINNOW_TEST_GOLDEN"] == "all"
        let step = isWhole ? 1 : (golden.masks.count + 2) / 3
        let entries = stride(from: 0, to: golden.masks.count, by: step).map { golden.masks[$0] }
        let network = try Checkpoint.network(at: TestData.checkpoint(model))
        let engine = try Engine(network: network, threads: CPUAllowance.processors)
        let folder = try TestData.cifar10()
        let evaluations = try engine.evaluate(
            entries.map { try Mask($0.disabled, of: network.graph) },
            images: ImageSource(folder).open().read(.test, limit: golden.images),
            calibration: ImageSource(folder).open().read(.train, limit: 256),
            settings: EvaluationSettings(split: .test, images: golden.images, batchNorm: batchNorm))
        #expect(evaluations.count == entries.count)
        for (evaluation, expected) in zip(evaluations, entries) {
            #expect(abs(evaluation.loss / expected.loss - 1) < tolerance)
            #expect(abs(evaluation.correct - expected.correct) <= 2)
            #expect(evaluation.images == golden.images)
        }
    }
}

extension Mask {
    /// A mask from filters named as in a mask file.
    init(_ disabled: [String: [Int]], of architecture: Graph) throws {
        let space = FilterSpace(architecture)
        self.init(count: space.count)
        for (name, filters) in disabled {
            let layer = try #require(space.layer(named: name))
            for filter in filters { self[layer.filters.lowerBound + filter] = true }
        }
    }
}
