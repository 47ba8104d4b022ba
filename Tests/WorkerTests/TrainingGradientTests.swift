import CKernels
import Shared
import TestSupport
import Testing

@testable import Worker

@Suite struct TrainingGradientTests {
    private static let imageCount = 3

    private func trainer(
        _ architecture: Graph, _ images: ImageSet, _ loss: TrainingLoss, teacher: Network? = nil
    ) -> ShardTrainer {
        ShardTrainer(
            architecture, images: ImageLoader(images, .standard), loss: loss, teacher: teacher,
            shardSize: Self.imageCount)
    }

    private var shard: TrainingShard {
        TrainingShard(images: Array(0..<Self.imageCount), augmentationSeed: nil, epoch: 0)
    }

    /// Compares the gradient with differences of the plain definition's loss in double precision.
    private func checkGradient(
        _ network: Network, _ images: ImageSet, probesPerTensor: Int, seed: UInt64 = 3
    ) throws {
        let loss = TrainingLoss(labelSmoothing: 0.1)
        let trainer = ShardTrainer(
            network.graph, images: ImageLoader(images, .standard), loss: loss, teacher: nil, shardSize: images.count)
        let result = try trainer.gradient(
            of: TrainingShard(images: Array(0..<images.count), augmentationSeed: nil, epoch: 0),
            with: ShardTrainer.Parameters(network))
        func lossSum(_ network: Network) -> Double {
            ReferenceForward(network, statistics: .ofTheseImages).lossSum(images, loss)
        }
        let expected = lossSum(network)
        #expect(abs(result.lossSum - expected) < 1e-4 * expected, "\(network.graph.summary)")

        let step: Float = 1 / 262_144
        let largest = result.gradient.map { Double(abs($0)) }.max() ?? 0
        var random = SplitMix64(seed: seed)
        for entry in ParameterLayout(network.graph).trained where !Self.isNormalisedAway(entry.name, network.graph) {
            let gradient = result.gradient[entry.range]
            let size = gradient.map { Double(abs($0)) }.max() ?? 0
            for _ in 0..<probesPerTensor {
                let index = Int.random(in: 0..<entry.range.count, using: &random)
                let value = network[entry.name].values[index]
                let slopes = [value - step, value + step].map { changed in
                    (lossSum(network.changing(entry.name, index, to: changed)) - expected) / Double(changed - value)
                }
                let found = Double(gradient[gradient.startIndex + index])
                #expect(
                    Self.isSlope(found, between: slopes, tolerance: 1e-3 * size + 1e-5 * largest + 1e-5),
                    "\(entry.name)[\(index)] in random graph \(seed): \(found), by differences \(slopes)")
            }
        }
    }

    /// Whether a parameter is a bias before a batch norm: its gradient is nothing but rounding.
    private static func isNormalisedAway(_ name: String, _ graph: Graph) -> Bool {
        guard name.hasSuffix(".bias"),
            let node = graph.nodes.firstIndex(where: { $0.name == name.dropLast(".bias".count) })
        else { return false }
        return graph.readers[node].allSatisfy {
            if case .batchNorm = graph.nodes[$0].operation { true } else { false }
        }
    }

    /// Whether a derivative is allowed by the slopes on both sides, which differ at a kink.
    private static func isSlope(_ found: Double, between slopes: [Double], tolerance: Double) -> Bool {
        found >= (slopes.min() ?? .nan) - tolerance && found <= (slopes.max() ?? .nan) + tolerance
    }

    @Test(arguments: [(TrainingFixtures.residual, 2), (TrainingFixtures.connected, 4)])
    func gradientsAreThoseOfDifferences(_ graph: Graph, _ probesPerTensor: Int) throws {
        try checkGradient(
            TrainingFixtures.network(graph, seed: 1), TrainingFixtures.images(Self.imageCount, seed: 2),
            probesPerTensor: probesPerTensor)
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func gradientsOfEveryOperationAreThoseOfDifferences(_ seed: UInt64) throws {
        let (network, images) = try TrainingFixtures.sample(seed: seed, images: 7)
        try checkGradient(network, images, probesPerTensor: 2, seed: seed)
    }

    /// A factor rounded to bfloat16 is off by 2^-9 at most, and what passes a ReLU may change. In a random network, whose
    /// images' gradients mostly cancel, that is up to a third of a layer's gradient; a wrong one differs by its length.
    @Test func gradientsOfRoundedConvolutionsPointWhereThoseOfFloat32Do() throws {
        let architecture = TrainingFixtures.residual
        let count = 16
        let network = TrainingFixtures.network(architecture, seed: 1)
        let loader = ImageLoader(TrainingFixtures.images(count, seed: 2), .standard)
        let shard = TrainingShard(images: Array(0..<count), augmentationSeed: nil, epoch: 0)
        func gradient(_ precision: TrainingPrecision) throws -> ShardGradient {
            try ShardTrainer(
                architecture, images: loader, loss: TrainingLoss(), teacher: nil, shardSize: count,
                precision: precision
            ).gradient(of: shard, with: ShardTrainer.Parameters(network))
        }
        let exact = try gradient(.float32)
        let rounded: ShardGradient
        do {
            rounded = try gradient(.bfloat16)
        } catch let failure as Failure where failure.kind == .unavailable {
            #expect(failure.description.contains("--precision float32"))
            return
        }
        #expect(abs(rounded.lossSum - exact.lossSum) < 0.02 * exact.lossSum)
        for entry in ParameterLayout(architecture).trained {
            let (a, b) = (exact.gradient[entry.range], rounded.gradient[entry.range])
            let length = a.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
            #expect(difference < 0.4 * length, "\(entry.name): \(difference) of \(length)")
        }
        #expect(exact.gradient != rounded.gradient)
        #expect(try gradient(.bfloat16).gradient == rounded.gradient)
    }

    @Test func bfloat16IsTheNearestWithTiesToEven() {
        let inputs: [Float] = [1, 1.00390625, 1.01171875, 1.004, -1.004, .infinity, -.infinity, 0, 3.4e38, .nan]
        // One unit in the last place is 2^-7 at 1, so 1 + 2^-8 and 1 + 3 · 2^-8 lie between two.
        let expected: [Float] = [1, 1, 1.015625, 1.0078125, -1.0078125, .infinity, -.infinity, 0, .infinity, .nan]
        var rounded = [UInt16](repeating: 0, count: inputs.count)
        winnow_round_to_bfloat16(inputs, inputs.count, &rounded)
        for (bits, value) in zip(rounded, expected) {
            let found = Float(bitPattern: UInt32(bits) << 16)
            #expect(found == value || (found.isNaN && value.isNaN), "\(found), not \(value)")
        }
    }

    @Test func gradientsWithATeacherAgreeWithFiniteDifferencesOfTheLoss() throws {
        let loss = TrainingLoss(labelSmoothing: 0.05, distillation: .init(temperature: 3, weight: 0.7))
        var random = SplitMix64(seed: 5)
        let student = (0..<10).map { _ in Float.random(in: -3...3, using: &random) }
        let teacher = (0..<10).map { _ in Float.random(in: -3...3, using: &random) }
        func evaluate(_ logits: [Float]) -> (Double, [Float]) {
            var gradient = [Float](repeating: 0, count: 10)
            let value = logits.withUnsafeBufferPointer { logits in
                teacher.withUnsafeBufferPointer { teacher in
                    gradient.withUnsafeMutableBufferPointer { gradient in
                        gradient.baseAddress.map {
                            loss.evaluate(logits: logits, label: 4, teacher: teacher, gradient: $0).loss
                        } ?? .nan
                    }
                }
            }
            return (value, gradient)
        }
        let (_, gradient) = evaluate(student)
        for output in 0..<10 {
            var moved = student
            moved[output] += 1e-2
            let above = evaluate(moved).0
            moved[output] -= 2e-2
            let expected = (above - evaluate(moved).0) / 2e-2
            #expect(abs(Double(gradient[output]) - expected) < 1e-3)
        }
    }

    @Test func aTeacherWithTheSameOutputsAddsNothingToTheGradient() throws {
        let architecture = TrainingFixtures.connected
        let network = TrainingFixtures.network(architecture, seed: 1)
        let images = TrainingFixtures.images(Self.imageCount, seed: 2)
        let parameters = ShardTrainer.Parameters(network)
        let plain = try trainer(architecture, images, TrainingLoss()).gradient(
            of: shard, with: parameters)
        let taught = try trainer(
            architecture, images, TrainingLoss(distillation: .init(temperature: 2, weight: 0.5)), teacher: network
        ).gradient(of: shard, with: parameters)
        for (a, b) in zip(plain.gradient, taught.gradient) { #expect(abs(a / 2 - b) < 1e-5) }
    }

    @Test(arguments: [TrainingFixtures.residual, TrainingFixtures.connected])
    func theTeachersOutputsAreThoseOfTheTrainingEngineForAnyNumberOfImages(_ architecture: Graph) throws {
        // More images than a block of the engine has lanes, and a block that is not full.
        let count = 37
        let network = TrainingFixtures.network(architecture, seed: 1)
        let loader = ImageLoader(TrainingFixtures.images(count, seed: 2), .standard)
        let plan = try TrainingPlan(architecture, images: count, purpose: .inference)
        let (trained, statistics) = ParameterLayout(architecture).flatten(network)
        try plan.load(trained: trained, statistics: statistics)
        let input = AlignedBuffer(count: count * CIFAR10.layout.imageBytes)
        for image in 0..<count {
            let distortion = loader.distortion(seed: 4, epoch: 1, image: image)
            let start = image * CIFAR10.layout.imageBytes
            loader.write(image, distortion, channelsLast: plan.channelsLast, to: plan.input.pointer + start)
            loader.write(image, distortion, channelsLast: false, to: input.pointer + start)
        }
        try plan.forward(.running)
        let expected = plan.logits.values

        var first: [Float] = []
        for set in InstructionSet.available {
            let forward = try DenseForward(network, instructionSet: set)
            let found = AlignedBuffer(count: count * CIFAR10.layout.classes)
            forward.compute(input.pointer, images: count, to: found.pointer)
            let size = expected.map { abs($0) }.max() ?? 0
            for (a, b) in zip(found.values, expected) { #expect(abs(a - b) < 1e-4 * size, "\(set)") }
            // The same bits by every instruction set, and for an image alone.
            if first.isEmpty { first = found.values }
            #expect(found.values == first)
            forward.compute(input.pointer + 20 * CIFAR10.layout.imageBytes, images: 1, to: found.pointer)
            let alone = Array(first[20 * CIFAR10.layout.classes..<21 * CIFAR10.layout.classes])
            #expect(Array(found.values[..<CIFAR10.layout.classes]) == alone)
        }
    }

    @Test func aShardGivesTheSameBitsInEveryTrainerAndAfterOtherShards() throws {
        let architecture = TrainingFixtures.residual
        let network = TrainingFixtures.network(architecture, seed: 1)
        let images = TrainingFixtures.images(12, seed: 2)
        let parameters = ShardTrainer.Parameters(network)
        let first = trainer(architecture, images, TrainingLoss())
        let second = trainer(architecture, images, TrainingLoss())
        let shard = TrainingShard(images: [7, 0, 5], augmentationSeed: 9, epoch: 2)
        let other = TrainingShard(images: [1, 2, 3], augmentationSeed: 9, epoch: 3)
        let expected = try first.gradient(of: shard, with: parameters)
        _ = try second.gradient(of: other, with: parameters)
        _ = try second.evaluate(0..<12, of: ImageLoader(images, .standard), with: parameters)
        let found = try second.gradient(of: shard, with: parameters)
        #expect(found == expected)
        #expect(found.gradient != (try first.gradient(of: other, with: parameters)).gradient)
    }

    @Test func batchStatisticsAreTheMeanAndTheUnbiasedVariance() throws {
        let architecture = TrainingFixtures.residual
        let network = TrainingFixtures.network(architecture, seed: 1)
        let images = TrainingFixtures.images(Self.imageCount, seed: 2)
        let parameters = ShardTrainer.Parameters(network)
        let found = try trainer(architecture, images, TrainingLoss()).gradient(
            of: shard, with: parameters
        ).statistics

        // The first convolution, by its definition.
        let weights = network["conv1.weight"].values.map(Double.init)
        let size = CIFAR10.layout.shape.height
        for filter in 0..<5 {
            var values: [Double] = []
            for image in 0..<Self.imageCount {
                let pixels = TrainingFixtures.pixels(images, image)
                for row in 0..<size {
                    for column in 0..<size {
                        var sum = 0.0
                        for channel in 0..<3 {
                            for tap in 0..<9 {
                                let (y, x) = (row + tap / 3 - 1, column + tap % 3 - 1)
                                guard (0..<size).contains(y), (0..<size).contains(x) else { continue }
                                sum += weights[(filter * 3 + channel) * 9 + tap] * pixels[channel][y * size + x]
                            }
                        }
                        values.append(sum)
                    }
                }
            }
            let mean = values.reduce(0, +) / Double(values.count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
            #expect(abs(Double(found[filter]) - mean) < 1e-4)
            #expect(abs(Double(found[5 + filter]) - variance) < 1e-4 * variance)
        }
    }

    /// Compares the gradients of gates for one image with differences of the plain definition's loss.
    private func checkGates(_ network: Network, _ image: ImageSet, filters: Int, seed: UInt64) throws {
        let trainer = ShardTrainer(
            network.graph, images: ImageLoader(image, .standard), loss: TrainingLoss(), teacher: nil, shardSize: 1)
        let found = try trainer.squaredGateGradients(of: 0..<1, with: ShardTrainer.Parameters(network))
            .map { $0.squareRoot() }
        let largest = found.max() ?? 0
        let step = 1e-6
        var random = SplitMix64(seed: seed)
        for _ in 0..<min(filters, found.count) {
            let filter = Int.random(in: found.indices, using: &random)
            func loss(_ factor: Double) -> Double {
                ReferenceForward(network, gate: .init(filter: filter, factor: factor)).lossSum(image, TrainingLoss())
            }
            let slopes = [(loss(1) - loss(1 - step)) / step, (loss(1 + step) - loss(1)) / step]
            let isEither = [found[filter], -found[filter]].contains {
                Self.isSlope($0, between: slopes, tolerance: 1e-4 * largest + 1e-7)
            }
            #expect(isEither, "filter \(filter) of random graph \(seed): ±\(found[filter]), by differences \(slopes)")
        }
    }

    @Test(arguments: [TrainingFixtures.residual, TrainingFixtures.connected])
    func gatesAreThoseOfDifferences(_ graph: Graph) throws {
        try checkGates(
            TrainingFixtures.network(graph, seed: 1), TrainingFixtures.images(1, seed: 2), filters: 20, seed: 1)
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func gatesOfEveryOperationAreThoseOfDifferences(_ seed: UInt64) throws {
        let (network, image) = try TrainingFixtures.sample(seed: seed, images: 1)
        try checkGates(network, image, filters: 10, seed: seed)
    }
}
