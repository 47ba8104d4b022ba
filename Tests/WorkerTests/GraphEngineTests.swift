import Shared
import TestSupport
import Testing

@testable import Worker

/// The engine on random graphs of all operations, compared with the plain definition.
struct GraphEngineTests {
    private static let image = Shape(channels: 3, height: 10, width: 8)

    private struct Case {
        let network: Network
        let images: ImageSet
        let masks: [Mask]
    }

    private func sample(_ seed: UInt64, images: Int = 5) throws -> Case {
        var generator = SeededGenerator(seed: seed)
        let graph = try RandomGraphs.graph(seed: seed, image: Self.image)
        let network = Network.random(graph, using: &generator)
        let layout = ImageLayout(shape: Self.image, classes: graph.classes, pixelType: .float32)
        let space = FilterSpace(graph)
        var masks = [Mask(count: space.count)]
        for rate in [0.2, 0.2, 0.5] { masks.append(.random(count: space.count, rate: rate, using: &generator)) }
        for layer in space.layers.prefix(2) { masks.append(Mask(count: space.count, disabled: layer.filters)) }
        masks.append(masks[1])
        return Case(
            network: network, images: ImageSet.random(images, layout: layout, using: &generator), masks: masks)
    }

    private func evaluate(
        _ sample: Case, _ network: Network, _ masks: [Mask], _ batchNorm: EvaluationSettings.BatchNorm,
        threads: Int = 2, set: InstructionSet? = nil, chains: Chain.Rule = Chain.Rule()
    ) throws -> [Evaluation] {
        let settings = EvaluationSettings(split: .test, images: sample.images.count, batchNorm: batchNorm)
        let engine = try Engine(
            network: network, threads: threads, memoryBytesMax: Engine.memoryBytesDefault,
            instructionSet: try set ?? InstructionSet.preferred(), chains: chains)
        return try engine.evaluate(masks, images: sample.images, calibration: sample.images, settings: settings)
    }

    @Test(arguments: EvaluationSettings.BatchNorm.Source.allCases)
    func lossesAreThoseOfTheDefinition(source: EvaluationSettings.BatchNorm.Source) throws {
        for seed in 0..<40 as Range<UInt64> {
            let sample = try sample(seed, images: 12)
            let batchNorm = EvaluationSettings.BatchNorm(source, images: sample.images.count)
            let evaluations = try evaluate(sample, sample.network, sample.masks, batchNorm)
            for (mask, evaluation) in zip(sample.masks, evaluations) {
                let reference = ReferenceForward(
                    sample.network, mask: mask, statistics: EngineTests.statistics(source))
                let inputs = sample.images.inputs(.standard)
                let expected = sample.images.crossEntropy(reference.outputs(inputs))
                // A network gone wild loses its digits, and its losses are bounded.
                guard expected.loss < 100 else { continue }
                let tolerance = (source == .frozen ? 1e-5 : 1e-4) * max(1, expected.loss) + reference.rounding(inputs)
                #expect(
                    abs(evaluation.loss - expected.loss) < tolerance,
                    "seed \(seed): \(evaluation.loss), not \(expected.loss)")
            }
        }
    }

    @Test func whatIsLeftAfterRemovalComputesWhatTheMaskedNetworkDoes() throws {
        for seed in 100..<160 as Range<UInt64> {
            let sample = try sample(seed)
            for mask in sample.masks {
                let masked = try evaluate(sample, sample.network, [mask], .frozen)[0]
                let smaller = try sample.network.removing(mask)
                let none = Mask(count: FilterSpace(smaller.graph).count)
                let removed = try evaluate(sample, smaller, [none], .frozen)[0]
                #expect(abs(masked.loss - removed.loss) < 1e-5 * max(1, masked.loss), "seed \(seed)")
                for statistics in [ReferenceForward.Statistics.ofTheseImages, .running] {
                    let inputs = sample.images.inputs(.standard)
                    let a = ReferenceForward(sample.network, mask: mask, statistics: statistics).outputs(inputs)
                    let b = ReferenceForward(smaller, statistics: statistics).outputs(inputs)
                    for (x, y) in zip(a.joined(), b.joined()) {
                        #expect(abs(x - y) <= 1e-6 * (1 + abs(x)), "seed \(seed)")
                    }
                }
            }
        }
    }

    @Test func correctedStatisticsCanBeWrittenIntoTheWeights() throws {
        for seed in 200..<220 as Range<UInt64> {
            let sample = try sample(seed)
            let mask = sample.masks[1]
            let batchNorm = EvaluationSettings.BatchNorm.corrected(images: sample.images.count)
            let corrected = try evaluate(sample, sample.network, [mask], batchNorm)[0]
            let changed = try Engine(network: sample.network, threads: 1)
                .recalibrated(
                    sample.network, batchNorm, under: mask, of: sample.images, normalisation: .standard)
            let written = try evaluate(sample, changed, [mask], .frozen)[0]
            let removed = try changed.removing(mask)
            let compact = try evaluate(
                sample, removed, [Mask(count: FilterSpace(removed.graph).count)], .frozen)[0]
            #expect(abs(written.loss - corrected.loss) < 1e-4 * max(1, corrected.loss), "seed \(seed)")
            #expect(abs(compact.loss - corrected.loss) < 1e-4 * max(1, corrected.loss), "seed \(seed)")
        }
    }

    @Test func neitherThreadsNorInstructionSetsNorOtherMasksChangeABit() throws {
        for seed in 300..<315 as Range<UInt64> {
            let sample = try sample(seed, images: 21)
            let batchNorm = EvaluationSettings.BatchNorm.corrected(images: sample.images.count)
            let together = try evaluate(sample, sample.network, sample.masks, batchNorm, threads: 3)
            for (mask, evaluation) in zip(sample.masks, together) {
                #expect(try evaluate(sample, sample.network, [mask], batchNorm, threads: 1)[0] == evaluation)
            }
            for set in InstructionSet.available {
                #expect(try evaluate(sample, sample.network, sample.masks, batchNorm, set: set) == together)
            }
        }
    }

    @Test(arguments: [1, 9, 30]) func stagesInRowsGiveTheSameBits(pixels: Int) throws {
        let never = Chain.Rule(linesMin: .max)
        for seed in 500..<540 as Range<UInt64> {
            let sample = try sample(seed)
            let whole = try evaluate(sample, sample.network, sample.masks, .frozen, chains: never)
            for set in InstructionSet.available {
                let rule = Chain.Rule(linesMin: 1, pixels: pixels)
                #expect(
                    try evaluate(sample, sample.network, sample.masks, .frozen, set: set, chains: rule) == whole,
                    "seed \(seed), \(set)")
            }
        }
    }

    /// Some of the graphs of the test above have chains of two and more stages.
    @Test func randomGraphsHaveChains() throws {
        let longest = try (500..<540 as Range<UInt64>).map { seed in
            let stages = Stages(try RandomGraphs.graph(seed: seed, image: Self.image))
            return stages.handsOn.split(separator: false).map(\.count).max() ?? 0
        }
        #expect(longest.count { $0 > 0 } > 20)
        #expect(longest.contains { $0 > 1 })
    }

    @Test func aGraphComesBackFromItsText() throws {
        for seed in 400..<440 as Range<UInt64> {
            let graph = try RandomGraphs.graph(seed: seed)
            #expect(try Graph(json: graph.json) == graph)
        }
    }
}
