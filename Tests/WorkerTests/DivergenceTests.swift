import Foundation
import Shared
import TestSupport
import Testing

@testable import Worker

/// Masks compared with the unmasked network's answers in place of labels.
@Suite struct DivergenceTests {
    private typealias Sample = EngineTests.Sample

    private static func settings(
        _ source: EvaluationSettings.BatchNorm.Source, images: Int, calibration: Int
    ) -> EvaluationSettings {
        EvaluationSettings(
            split: .test, images: images, batchNorm: .init(source, images: calibration), labels: .network)
    }

    /// Σ p (ln p − ln q) over all classes, the mean of the images; and on how many of them both have the same largest
    /// output.
    private static func divergence(of masked: [[Double]], from unmasked: [[Double]]) -> (mean: Double, agreeing: Int) {
        func logProbabilities(_ logits: [Double]) -> [Double] {
            let largest = logits.max() ?? 0
            let total = logSum(logits.map { $0 - largest })
            return logits.map { $0 - largest - total }
        }
        func largest(_ logits: [Double]) -> Int? { logits.firstIndex(of: logits.max() ?? 0) }
        var sum = 0.0
        for (p, q) in zip(unmasked, masked) {
            for (before, now) in zip(logProbabilities(p), logProbabilities(q)) { sum += exp(before) * (before - now) }
        }
        let agreeing = zip(unmasked, masked).count { largest($0) == largest($1) }
        return (sum / Double(masked.count), agreeing)
    }

    @Test(arguments: EngineTests.Sample.allCases, EvaluationSettings.BatchNorm.Source.allCases)
    func divergencesAreThoseOfTheDefinition(
        sample: EngineTests.Sample, source: EvaluationSettings.BatchNorm.Source
    ) throws {
        var generator = SeededGenerator(seed: 21)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(3, using: &generator)
        let masks = EngineTests.masks(of: sample.architecture, using: &generator)
        let settings = Self.settings(source, images: images.count, calibration: images.count)
        let evaluations = try Engine(network: network, threads: 2)
            .evaluate(masks, images: images, calibration: images, settings: settings)
        let inputs = images.inputs(settings.normalisation)
        // The unmasked network's outputs use its own statistics.
        let answers = ReferenceForward(network).outputs(inputs)
        for (mask, evaluation) in zip(masks, evaluations) {
            let reference = ReferenceForward(network, mask: mask, statistics: EngineTests.statistics(source))
            let expected = Self.divergence(of: reference.outputs(inputs), from: answers)
            #expect(abs(evaluation.loss - expected.mean) < 5e-5 * max(1, expected.mean))
            #expect(evaluation.correct == expected.agreeing)
            #expect(evaluation.images == images.count)
        }
    }

    @Test(arguments: EngineTests.Sample.allCases)
    func theUnmaskedNetworkDoesNotDivergeFromItself(sample: EngineTests.Sample) throws {
        var generator = SeededGenerator(seed: 22)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(37, using: &generator)
        let masks = Array(EngineTests.masks(of: sample.architecture, using: &generator).prefix(3))
        let evaluations = try Engine(network: network, threads: 2)
            .evaluate(masks, images: images, settings: Self.settings(.frozen, images: 37, calibration: 0))
        #expect(evaluations[0] == Evaluation(lossSum: 0, correct: 37, images: 37))
        #expect(evaluations[1].lossSum > 0)
    }

    @Test(arguments: EngineTests.Sample.allCases)
    func labelsAreNotLookedAtAndNothingElseChangesABit(sample: EngineTests.Sample) throws {
        var generator = SeededGenerator(seed: 23)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(37, using: &generator)
        let relabelled = ImageSet(images.layout, split: .test, count: images.count) { labels, pixels in
            for image in labels.indices { labels[image] = Int32((images.label(image) + 3) % images.layout.classes) }
            images.withPixels { pixels.copyMemory(from: $0) }
        }
        let masks = EngineTests.masks(of: sample.architecture, using: &generator)
        let settings = Self.settings(.corrected, images: 37, calibration: 9)
        let results = try InstructionSet.available.flatMap { instructionSet in
            try [(1, images), (3, relabelled)].map { threads, images in
                let engine = try Engine(
                    network: network, threads: threads, memoryBytesMax: Engine.memoryBytesDefault,
                    instructionSet: instructionSet)
                return try engine.evaluate(masks, images: images, calibration: images, settings: settings)
            }
        }
        #expect(results.allSatisfy { $0 == results[0] })
        // One by one, in another order, with an engine that evaluated by labels before.
        let engine = try Engine(network: network, threads: 2)
        var byLabels = settings
        byLabels.labels = .given
        let given = try engine.evaluate(masks, images: images, calibration: images, settings: byLabels)
        #expect(given != results[0])
        for (mask, expected) in zip(masks, results[0]).reversed() {
            #expect(
                try engine.evaluate([mask], images: images, calibration: images, settings: settings) == [expected])
        }
    }

    @Test func answersThatDoNotFitTheMemoryAreRefused() throws {
        var generator = SeededGenerator(seed: 24)
        let architecture = Graph.fullyConnected(widths: [12, 4, 20_000])
        let network = Network.random(architecture, using: &generator)
        let layout = ImageLayout(shape: Shape(channels: 3, height: 2, width: 2), classes: 20_000)
        let images = ImageSet.random(64, layout: layout, using: &generator)
        let none = Mask(count: FilterSpace(architecture).count)
        let settings = Self.settings(.frozen, images: 64, calibration: 0)
        let engine = try Engine(network: network, threads: 1, memoryBytesMax: 16 << 20)
        let error = #expect(throws: Failure.self) { try engine.evaluate([none], images: images, settings: settings) }
        #expect(error?.description.contains("the network's outputs for 64 images take") == true)
        let roomier = try Engine(network: network, threads: 1, memoryBytesMax: 64 << 20)
        #expect(try roomier.evaluate([none], images: images, settings: settings)[0].lossSum == 0)
    }
}
