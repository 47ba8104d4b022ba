import Shared
import TestSupport
import Testing

@testable import Worker

/// The engine compared with the plain definition, and with itself under other circumstances.
struct EngineTests {
    /// The networks that are tried.
    enum Sample: CaseIterable {
        case residual
        case connected

        var architecture: Graph {
            switch self {
            case .residual: .residual(widths: [5, 7, 12], blocksPerStage: 2, imageSize: 32)
            case .connected: .fullyConnected(widths: [CIFAR10.layout.imageBytes, 33, 20, CIFAR10.layout.classes])
            }
        }
    }

    static func statistics(_ source: EvaluationSettings.BatchNorm.Source) -> ReferenceForward.Statistics {
        switch source {
        case .frozen: .running
        case .recalibrated: .ofTheseImages
        case .corrected: .runningCorrected
        }
    }

    /// Masks of every kind: none, hidden filters only, any filters, and whole layers.
    static func masks(of architecture: Graph, using generator: inout SeededGenerator) -> [Mask] {
        let space = FilterSpace(architecture)
        var masks = [Mask(count: space.count)]
        for rate in [0.2, 0.5] {
            let all = Mask.random(count: space.count, rate: rate, using: &generator)
            let hidden = space.layers.filter { $0.role == .hidden }.flatMap(\.filters)
            masks.append(all)
            masks.append(Mask(count: space.count, disabled: hidden.filter { all[$0] }))
        }
        for layer in space.layers { masks.append(Mask(count: space.count, disabled: layer.filters)) }
        masks.append(masks[1])
        masks.append(Mask(count: space.count, disabled: 0..<space.count))
        return masks
    }

    @Test(arguments: Sample.allCases, EvaluationSettings.BatchNorm.Source.allCases)
    func lossesAreThoseOfTheDefinition(sample: Sample, source: EvaluationSettings.BatchNorm.Source) throws {
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(3, using: &generator)
        let masks = Self.masks(of: sample.architecture, using: &generator)
        let batchNorm = EvaluationSettings.BatchNorm(source, images: images.count)
        let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: batchNorm)
        let evaluations = try Engine(network: network, threads: 2)
            .evaluate(masks, images: images, calibration: images, settings: settings)
        for (mask, evaluation) in zip(masks, evaluations) {
            let reference = ReferenceForward(network, mask: mask, statistics: Self.statistics(source))
            let expected = images.crossEntropy(reference.outputs(images.inputs(settings.normalisation)))
            #expect(abs(evaluation.loss - expected.loss) < 2e-5 * max(1, expected.loss))
            #expect(evaluation.correct == expected.correct)
            #expect(evaluation.images == images.count)
        }
    }

    @Test(arguments: [
        Graph.residual(widths: [5, 7], blocksPerStage: 1, imageSize: 8, classes: 300),
        .fullyConnected(widths: [3 * 8 * 8, 20, 300]),
    ])
    func floatPixelsAreInputsAsTheyAreAndThereMayBeMoreClassesThanAByteCounts(_ architecture: Graph) throws {
        var generator = SeededGenerator(seed: 12)
        let network = Network.random(architecture, using: &generator)
        let layout = ImageLayout(
            shape: Shape(channels: 3, height: 8, width: 8), classes: 300, pixelType: .float32)
        // More images than a block has lanes, with labels beyond a byte.
        let noise = ImageSet.random(21, layout: layout, using: &generator)
        let images = ImageSet(layout, split: .test, count: noise.count) { labels, pixels in
            for image in labels.indices { labels[image] = Int32(299 - image) }
            noise.withPixels { pixels.copyMemory(from: $0) }
        }
        let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: .frozen)
        let none = Mask(count: FilterSpace(architecture).count)
        let evaluation = try Engine(network: network, threads: 2).evaluate([none], images: images, settings: settings)
        let expected = images.crossEntropy(ReferenceForward(network).outputs(images.inputs(settings.normalisation)))
        #expect(abs(evaluation[0].loss - expected.loss) < 2e-5 * expected.loss)
        #expect(evaluation[0].correct == expected.correct)
    }

    @Test func imagesThatTheNetworkDoesNotTakeAreRefused() throws {
        var generator = SeededGenerator(seed: 13)
        let network = Network.random(Sample.residual.architecture, using: &generator)
        let layout = ImageLayout(shape: Shape(channels: 1, height: 28, width: 28), classes: 10)
        let images = ImageSet.random(2, layout: layout, using: &generator)
        let settings = EvaluationSettings(split: .test, images: 2, batchNorm: .frozen)
        let none = Mask(count: FilterSpace(network.graph).count)
        let error = #expect(throws: Failure.self) {
            try Engine(network: network, threads: 1).evaluate([none], images: images, settings: settings)
        }
        #expect(error?.kind == .badInput)
        #expect(error?.description.contains("takes images of 3 × 32 × 32") == true)
    }

    @Test(arguments: Sample.allCases, EvaluationSettings.BatchNorm.Source.allCases)
    func everyInstructionSetGivesTheSameBits(sample: Sample, source: EvaluationSettings.BatchNorm.Source) throws {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(17, using: &generator)
        let masks = Array(Self.masks(of: sample.architecture, using: &generator).prefix(4))
        let batchNorm = EvaluationSettings.BatchNorm(source, images: 9)
        let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: batchNorm)
        let results = try InstructionSet.available.map { instructionSet in
            try Engine(network: network, threads: 1, memoryBytesMax: 100 << 20, instructionSet: instructionSet)
                .evaluate(masks, images: images, calibration: images, settings: settings)
        }
        for result in results { #expect(result == results[0]) }
    }

    @Test(arguments: Sample.allCases, EvaluationSettings.BatchNorm.Source.allCases)
    func aMaskHasTheSameBitsInEveryBatchOnAnyThreads(sample: Sample, source: EvaluationSettings.BatchNorm.Source) throws
    {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(45, using: &generator)
        let masks = Self.masks(of: sample.architecture, using: &generator)
        let batchNorm = EvaluationSettings.BatchNorm(source, images: 20)
        let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: batchNorm)
        func evaluations(_ masks: [Mask], threads: Int, memory: Int = 100 << 20) throws -> [Evaluation] {
            try Engine(network: network, threads: threads, memoryBytesMax: memory)
                .evaluate(masks, images: images, calibration: images, settings: settings)
        }
        let together = try evaluations(masks, threads: 3)
        #expect(try evaluations(masks.reversed(), threads: 1) == together.reversed())
        #expect(try evaluations(masks, threads: 2, memory: 12 << 20) == together)
        for (mask, expected) in zip(masks, together) {
            #expect(try evaluations([mask], threads: 1) == [expected])
        }
    }

    /// Batches of masks that agree in their first layers, one after the other, with changes of everything in between.
    @Test(arguments: EvaluationSettings.BatchNorm.Source.allCases, [400 << 20, 24 << 20])
    func whatABatchLeavesForTheNextChangesNoBit(source: EvaluationSettings.BatchNorm.Source, memory: Int) throws {
        var generator = SeededGenerator(seed: 7)
        let architecture = Sample.residual.architecture
        let network = Network.random(architecture, using: &generator)
        let space = FilterSpace(architecture)
        let images = [ImageSet.random(45, using: &generator), ImageSet.random(45, using: &generator)]
        let engine = try Engine(network: network, threads: 2, memoryBytesMax: memory)
        // The first layers of the space belong to a group, the next to a subgroup, the others to a single mask.
        func masks(group: Int, subgroup: Int) -> [Mask] {
            (0..<2).map { mask in
                let keys = [(0..<5, [group]), (5..<9, [group, subgroup]), (9..<13, [group, subgroup, mask])]
                let disabled = keys.flatMap { layers, key -> [Int] in
                    var random = SplitMix64(seed: UInt64(key.reduce(9) { 31 * $0 + $1 }))
                    return space.layers[layers].filter { $0.role == .hidden }.flatMap(\.filters)
                        .filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
                }
                return Mask(count: space.count, disabled: disabled)
            }
        }
        var kept: [Int] = []
        for (index, images) in [images[0], images[0], images[1], images[0]].enumerated() {
            for subgroup in 0..<4 {
                let batch =
                    subgroup == 3 ? [masks(group: index, subgroup: 3)[0]] : masks(group: index, subgroup: subgroup)
                let settings = EvaluationSettings(
                    split: .test, images: index == 3 && subgroup == 2 ? 30 : 45,
                    batchNorm: EvaluationSettings.BatchNorm(source, images: 20))
                let found = try engine.evaluate(batch, images: images, calibration: images, settings: settings)
                kept.append(engine.keptCuts)
                let alone = try Engine(network: network, threads: 1)
                    .evaluate(batch, images: images, calibration: images, settings: settings)
                #expect(found == alone)
            }
        }
        // The second batch shows what they share: the stem and two blocks. From then on it is kept at once.
        if memory > 100 << 20 { #expect(kept.prefix(8) == [0, 3, 3, 3, 3, 3, 3, 3]) }
    }

    @Test(arguments: Sample.allCases)
    func partsOfTheImagesAddUp(sample: Sample) throws {
        var generator = SeededGenerator(seed: 4)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(70, using: &generator)
        let masks = Array(Self.masks(of: sample.architecture, using: &generator).prefix(3))
        let engine = try Engine(network: network, threads: 2)
        func evaluations(_ part: Range<Int>) throws -> [Evaluation] {
            return try engine.evaluate(
                masks, images: images.subset(part),
                settings: EvaluationSettings(split: .test, images: part.count, batchNorm: .frozen))
        }
        let whole = try evaluations(0..<70)
        let parts = try [evaluations(0..<1), evaluations(1..<30), evaluations(30..<70)]
        for mask in masks.indices { #expect(parts[0][mask] + parts[1][mask] + parts[2][mask] == whole[mask]) }
    }

    @Test(arguments: Sample.allCases)
    func maskedIsCompact(sample: Sample) throws {
        var generator = SeededGenerator(seed: 5)
        let network = Network.random(sample.architecture, using: &generator)
        let images = ImageSet.random(20, using: &generator)
        let settings = EvaluationSettings(split: .test, images: images.count, batchNorm: .frozen)
        let space = FilterSpace(sample.architecture)
        let hidden = space.layers.filter { $0.role == .hidden }.flatMap(\.filters)
        for rate in [0.1, 0.3, 0.6] {
            let disabled = hidden.filter { _ in Double.random(in: 0..<1, using: &generator) < rate }
            let mask = Mask(count: space.count, disabled: disabled)
            let compact = try network.removing(mask)
            let masked = try Engine(network: network, threads: 1)
                .evaluate([mask], images: images, settings: settings)
            let small = FilterSpace(compact.graph)
            let removed = try Engine(network: compact, threads: 1)
                .evaluate([Mask(count: small.count)], images: images, settings: settings)
            #expect(masked == removed)
        }
    }

    @Test func tooFewImagesAreRefused() throws {
        var generator = SeededGenerator(seed: 6)
        let network = Network.random(Sample.residual.architecture, using: &generator)
        let images = ImageSet.random(2, using: &generator)
        let masks = [Mask(count: FilterSpace(Sample.residual.architecture).count)]
        let engine = try Engine(network: network, threads: 1)
        func complaint(_ settings: EvaluationSettings, calibration: ImageSet?) -> Failure.Kind? {
            do {
                _ = try engine.evaluate(masks, images: images, calibration: calibration, settings: settings)
                return nil
            } catch {
                return (error as? Failure)?.kind
            }
        }
        #expect(complaint(.init(split: .test, images: 3, batchNorm: .frozen), calibration: nil) == .badInput)
        let recalibrated = EvaluationSettings(split: .test, images: 2, batchNorm: .recalibrated(images: 3))
        #expect(complaint(recalibrated, calibration: images) == .badInput)
        #expect(complaint(recalibrated, calibration: nil) == .badInput)
    }

    /// A block has as many images as a vector has floats.
    @Test(arguments: [1 << 6, 1 << 15, 1 << 16])
    func tooLittleMemoryIsSaid(bytesOfLane: Int) throws {
        let memoryBytesMax = bytesOfLane * Int(try InstructionSet.preferred().kernels.lanes)
        var generator = SeededGenerator(seed: 7)
        let network = Network.random(Sample.residual.architecture, using: &generator)
        let images = ImageSet.random(200, using: &generator)
        let failure = #expect(throws: Failure.self) {
            let engine = try Engine(network: network, threads: 1, memoryBytesMax: memoryBytesMax)
            _ = try engine.evaluate(
                [Mask(count: FilterSpace(Sample.residual.architecture).count)], images: images,
                settings: EvaluationSettings(split: .test, images: 200, batchNorm: .frozen))
        }
        #expect(failure?.kind == .unavailable)
    }

    @Test(arguments: EvaluationSettings.BatchNorm.Source.allCases)
    func aCancelledEvaluationEnds(source: EvaluationSettings.BatchNorm.Source) throws {
        var generator = SeededGenerator(seed: 8)
        let network = Network.random(Sample.residual.architecture, using: &generator)
        let images = ImageSet.random(40, using: &generator)
        let engine = try Engine(network: network, threads: 2)
        var asked = 0
        #expect(throws: CancellationError.self) {
            try engine.evaluate(
                [Mask(count: FilterSpace(Sample.residual.architecture).count)], images: images, calibration: images,
                settings: EvaluationSettings(
                    split: .test, images: 40, batchNorm: .init(source, images: 20)),
                isCancelled: {
                    asked += 1
                    return true
                })
        }
        #expect(asked == 1)
    }

    @Test func outputsThatAreNoNumbersCountAsTheLargestLoss() throws {
        let kernels = InstructionSet.available[0].kernels
        let lanes = kernels.lanesCount
        var outputs = [Float](repeating: 0, count: 2 * lanes)
        (outputs[0], outputs[lanes]) = (.nan, 1)
        (outputs[1], outputs[lanes + 1]) = (.infinity, 1)
        (outputs[2], outputs[lanes + 2]) = (-1e30, 1e30)
        (outputs[3], outputs[lanes + 3]) = (1, 1)
        var sums: [Double] = []
        var corrects: [Int64] = []
        for image in 0..<4 {
            var sum: Int64 = 0
            var correct: Int64 = 0
            outputs.withUnsafeBufferPointer { outputs in
                guard let base = outputs.baseAddress else { return }
                kernels.losses(base + image, lanes, 2, [0], 1, Evaluation.imageLossMax, &sum, &correct)
            }
            sums.append(Double(sum) / Evaluation.unitsPerNat)
            corrects.append(correct)
        }
        #expect(sums.prefix(3) == [Evaluation.imageLossMax, Evaluation.imageLossMax, Evaluation.imageLossMax])
        #expect(abs(sums[3] - 0.693147180559945) < 1e-9)
        #expect(corrects == [0, 0, 0, 1])
    }
}

extension ImageSet {
    /// The inputs of a network, `[image][channel, row, column]`.
    func inputs(_ normalisation: Normalisation) -> [[Double]] {
        (0..<count).map { input($0, normalisation) }
    }

    /// Mean cross-entropy and correct images for outputs `[image][class]`.
    func crossEntropy(_ outputs: [[Double]]) -> (loss: Double, correct: Int) {
        var loss = 0.0
        var correct = 0
        for (image, values) in outputs.enumerated() {
            let largest = values.max() ?? 0
            let label = Int(label(image))
            loss += logSum(values.map { $0 - largest }) + largest - values[label]
            correct += values.firstIndex(of: largest) == label ? 1 : 0
        }
        return (loss / Double(outputs.count), correct)
    }
}
