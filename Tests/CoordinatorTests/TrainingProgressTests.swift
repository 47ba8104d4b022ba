import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

@Suite struct TrainingProgressTests {
    private func progress(_ change: (inout TrainingSettings) -> Void = { _ in }) throws -> TrainingProgress {
        var settings = TrainingSettings()
        settings.epochs = 3
        settings.batchSize = 8
        settings.shards = 2
        settings.validationImages = 5
        change(&settings)
        return try TrainingProgress(
            try InitialNetwork("mlp:4").network(seed: 1), settings: settings, imageCount: 30)
    }

    /// Answers as a function of the shard, so that two trainings can be compared.
    private func answer(_ shard: TrainingShard, _ progress: TrainingProgress) -> ShardGradient {
        var random = SplitMix64(seed: UInt64(shard.images.reduce(shard.epoch) { $0 &* 31 &+ $1 }))
        return ShardGradient(
            gradient: (0..<progress.layout.trainedCount).map { _ in Float.random(in: -1...1, using: &random) },
            statistics: [], lossSum: Double.random(in: 0...9, using: &random), correct: 1, images: shard.images.count)
    }

    private func advance(_ progress: inout TrainingProgress) throws {
        switch progress.next {
        case .finished: break
        case .step(let shards):
            let answers = shards.map { answer($0, progress) }
            try progress.apply(answers, seconds: 0)
        case .evaluation:
            let validation = Evaluation(lossSum: 1, correct: progress.position.epoch, images: 5)
            progress.apply(
                validation: validation, test: Evaluation(lossSum: 1, correct: 2, images: 10), seconds: 0)
        }
    }

    @Test func anEpochTakesEveryTrainingImageAtMostOnceAndNoneKeptForValidation() throws {
        var progress = try progress()
        var orders: [[Int]] = []
        while progress.next != .finished {
            if case .step(let shards) = progress.next {
                #expect(shards.map(\.images.count) == [4, 4])
                if progress.position.step == 0 { orders.append([]) }
                orders[orders.count - 1] += shards.flatMap(\.images)
            }
            try advance(&progress)
        }
        #expect(orders.count == 3)
        for order in orders {
            #expect(order.count == 24 && Set(order).count == 24)
            #expect(order.allSatisfy { $0 < 25 })
        }
        #expect(orders[0] != orders[1])
        #expect(progress.history.epochs.count == 3)
        #expect(progress.history.bestByValidation?.epoch == 3)
        #expect(progress.history.epochs[0].testAccuracy == 0.2)
    }

    @Test(arguments: 0..<12) func aTrainingThatIsInterruptedAndResumedEndsWithTheSameBits(steps: Int) throws {
        var whole = try progress()
        while whole.next != .finished { try advance(&whole) }

        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("state").path
        var first = try progress()
        let origin = TrainingFile.Origin(trainingImages: Digest(sha256Of: [1]), teacher: nil)
        do {
            let file = try TrainingFile.create(at: path, first, origin)
            for _ in 0..<steps { try advance(&first) }
            try file.save(first)
        }
        #expect(throws: Failure.self) { try TrainingFile.create(at: path, first, origin) }
        do {
            let (file, _, _) = try TrainingFile.open(at: path)
            let second = #expect(throws: Failure.self) { try TrainingFile.open(at: path) }
            #expect(second?.description.contains("another process is training") == true)
            rename(path, path + "-moved")
            #expect(file.wasMoved)
            rename(path + "-moved", path)
        }
        var (_, second, readOrigin) = try TrainingFile.open(at: path)
        #expect(readOrigin == origin)
        #expect(second.position == first.position && second.settings == first.settings)
        while second.next != .finished { try advance(&second) }
        #expect(second.trained == whole.trained)
        #expect(second.optimizer == whole.optimizer)
        #expect(second.history == whole.history)
        #expect(second.best.trained == whole.best.trained)
    }

    @Test func aFileThatIsNoTrainingIsRefused() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("nothing of the kind".utf8).write(to: URL(fileURLWithPath: path))
        #expect(throws: Failure.self) { try TrainingFile.open(at: path) }
        #expect(throws: Failure.self) { try TrainingFile.open(at: path + "-missing") }
    }

    @Test func aLossThatIsNoNumberEndsTheTraining() throws {
        var progress = try progress()
        try advance(&progress)
        guard case .step(let shards) = progress.next else { throw Failure(.internalFault, "a step was expected") }
        var answers = shards.map { answer($0, progress) }
        answers[1].lossSum = .nan
        #expect(throws: Failure.self) { try progress.apply(answers, seconds: 0) }
    }

    @Test func settingsThatMakeNoSenseAreRefused() {
        #expect(throws: Failure.self) { try progress { $0.shards = 3 } }
        #expect(throws: Failure.self) { try progress { $0.validationImages = 29 } }
        #expect(throws: Failure.self) { try progress { $0.optimizer.momentum = 1 } }
        #expect(throws: Failure.self) { try progress { $0.schedule.warmUpEpochs = 3 } }
        #expect(throws: Failure.self) { try progress { $0.cutout = ImageLayout.extentMax + 1 } }
        #expect(throws: Failure.self) {
            try progress {
                $0.cutout = 8
                $0.augments = false
            }
        }
        // It has no convolutions to multiply in that format.
        #expect(throws: Failure.self) { try progress { $0.precision = .bfloat16 } }
        for word in ["resnet21", "resnet", "mlp:", "mlp:0", "mlp:3--4", "resnet:16", "vgg16", "resnet:16x9"] {
            #expect(throws: Failure.self) { try InitialNetwork(word) }
        }
    }

    @Test func wordsNameArchitectures() throws {
        #expect(try InitialNetwork("resnet20").graph.summary == "ResNet-20")
        let wide = try InitialNetwork("resnet:8x14").graph
        #expect(wide.summary == "ResNet-14")
        #expect(wide.node(named: "conv1")?.shape.channels == 8)
        #expect(try InitialNetwork("mlp:512-256").graph.summary == "fully connected 3072-512-256-10")
    }

    @Test func theLearningRateRisesThenFalls() {
        let cosine = LearningRateSchedule(form: .cosine, peak: 1, warmUpEpochs: 2)
        let rates = (0..<100).map { cosine.rate(step: $0, stepsPerEpoch: 10, epochs: 10) }
        #expect(rates[0] > 0 && rates[0] < 0.06)
        #expect(zip(rates[..<20], rates[1...20]).allSatisfy { $0 < $1 })
        #expect(rates[20] == 1)
        #expect(zip(rates[20...], rates[21...]).allSatisfy { $0 > $1 })
        #expect(abs(rates[60] - 0.5) < 1e-6)
        let step = LearningRateSchedule(form: .step, peak: 1, warmUpEpochs: 0)
        #expect(
            [0, 49, 50, 74, 75, 99].map { step.rate(step: $0, stepsPerEpoch: 10, epochs: 10) } == [
                1, 1, 0.1, 0.1, 0.01, 0.01,
            ])
    }

    /// PyTorch's optimizer on the same gradients.
    @Test(.enabled(if: Python.canImport("torch"), "no PyTorch"), arguments: [false, true])
    func stepsAreThoseOfPyTorch(nesterov: Bool) throws {
        let program = """
            import sys, torch
            w = torch.tensor([0.5, -1.0, 2.0]); w.requires_grad_()
            o = torch.optim.SGD([w], 0.1, momentum=0.9, weight_decay=0.01, nesterov=sys.argv[1] == "true")
            for step in range(5):
                w.grad = torch.tensor([1.0, -2.0, 0.5]) * (step + 1); o.step()
            print(*w.detach().tolist())
            """
        let output = String(decoding: try Python.run(program, [String(nesterov)]).output, as: UTF8.self)
        let expected = output.split(whereSeparator: \.isWhitespace).compactMap { Float($0) }
        try #require(expected.count == 3)

        let layout = ParameterLayout(
            .fullyConnected(LinearChain(layers: [.init(name: "fc", input: 2, output: 1)])))
        var optimizer = MomentumOptimizer(
            .init(momentum: 0.9, nesterov: nesterov, weightDecay: 0.01, decaysNormalisation: true), count: 3)
        var parameters: [Float] = [0.5, -1, 2]
        for step in 0..<5 {
            let gradient: [Float] = [1, -2, 0.5].map { $0 * Float(step + 1) }
            optimizer.step(&parameters, gradient: gradient, rate: 0.1, layout: layout)
        }
        for (found, wanted) in zip(parameters, expected) { #expect(abs(found - wanted) < 1e-5) }
    }

    @Test func runningStatisticsMoveTowardsThoseOfAllShardsTogether() throws {
        let architecture = try InitialNetwork("resnet:1x8").graph
        let layout = ParameterLayout(architecture)
        // Two shards of two values each in every channel: 1, 3 and 5, 7.
        func shard(_ mean: Float) -> ShardGradient {
            let statistics = layout.statistics.flatMap { entry in
                [Float](repeating: entry.kind == .mean ? mean : 1, count: entry.range.count)
            }
            return ShardGradient(gradient: [], statistics: statistics, lossSum: 0, correct: 0, images: 2)
        }
        var running = [Float](repeating: 0, count: layout.statisticsCount)
        MomentumOptimizer.update(&running, with: [shard(2), shard(6)], layout: layout)
        #expect(abs(running[0] - 0.4) < 1e-6)
        // The variance of 1, 3, 5, 7 is 5.
        let variance = try #require(layout.statistics.first { $0.kind == .variance }).range.lowerBound
        #expect(abs(running[variance] - 0.5) < 1e-6)
    }
}
