import Shared
import TestSupport
import Testing

@testable import Worker

/// Writing fresh batch-norm statistics into a network.
struct RecalibrateTests {
    private static let architecture = Graph.residual(
        widths: [5, 7, 12], blocksPerStage: 2, imageSize: 32)

    @Test(arguments: [EvaluationSettings.BatchNorm.recalibrated(images: 4), .corrected(images: 4)])
    func writtenStatisticsGiveTheLossesOfTheirBatchNorms(batchNorm: EvaluationSettings.BatchNorm) throws {
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(Self.architecture, using: &generator)
        let images = ImageSet.random(6, using: &generator)
        let mask = Mask.random(count: FilterSpace(Self.architecture).count, rate: 0.3, using: &generator)
        func loss(_ network: Network, _ batchNorm: EvaluationSettings.BatchNorm) throws -> Double {
            let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: batchNorm)
            return try Engine(network: network, threads: 2)
                .evaluate([mask], images: images, calibration: images, settings: settings)[0].loss
        }
        let changed = try Engine(network: network, threads: 2)
            .recalibrated(network, batchNorm, under: mask, of: images, normalisation: .standard)
        let written = try loss(changed, .frozen)
        let recalibrated = try loss(network, batchNorm)
        let frozen = try loss(network, .frozen)
        #expect(abs(written - recalibrated) < 1e-5 * recalibrated)
        #expect(abs(frozen - recalibrated) > 1e-2 * recalibrated)
    }

    @Test func aFullyConnectedNetworkHasNothingToRecalibrate() throws {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(
            .fullyConnected(widths: [CIFAR10.layout.imageBytes, 8, CIFAR10.layout.classes]), using: &generator)
        let images = ImageSet.random(4, using: &generator)
        let same = try Engine(network: network, threads: 1)
            .recalibrated(
                network, .recalibrated(images: 4), under: Mask(count: FilterSpace(network.graph).count), of: images,
                normalisation: .standard)
        #expect(same == network)
    }

    @Test func tooFewImagesAreRefused() throws {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(Self.architecture, using: &generator)
        let engine = try Engine(network: network, threads: 1)
        let images = ImageSet.random(4, using: &generator)
        let failure = #expect(throws: Failure.self) {
            try engine.recalibrated(
                network, .recalibrated(images: 5), under: Mask(count: FilterSpace(network.graph).count), of: images,
                normalisation: .standard)
        }
        #expect(failure?.kind == .badInput)
    }
}
