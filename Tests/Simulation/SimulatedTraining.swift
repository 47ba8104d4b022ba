import Shared
import TestSupport

@testable import Coordinator

/// A training with made-up gradients: functions of the share and the parameters, like real ones.
struct SimulatedTraining {
    /// Floats of a part of a row: some rows have several.
    static let partFloats = 150

    /// A network as small as there is one with batch normalisations.
    private static let network: Network = {
        guard let initial = try? InitialNetwork("resnet:1x8") else { preconditionFailure("an architecture") }
        return initial.network(seed: 1)
    }()

    /// The training before its first step.
    let start: TrainingProgress
    /// Images of the test split.
    let testImages: Int

    init(random: inout SeededGenerator) {
        var settings = TrainingSettings()
        settings.epochs = .random(in: 1...2, using: &random)
        settings.schedule.warmUpEpochs = 0
        settings.shards = .random(in: 1...4, using: &random)
        settings.batchSize = settings.shards * .random(in: 1...3, using: &random)
        settings.validationImages = .random(in: 0...3, using: &random)
        settings.seed = .random(in: 0...1000, using: &random)
        let images = settings.validationImages + settings.batchSize * .random(in: 1...4, using: &random)
        guard let start = try? TrainingProgress(Self.network, settings: settings, imageCount: images) else {
            preconditionFailure("settings of a training")
        }
        self.start = start
        testImages = .random(in: 1...20, using: &random)
    }

    /// What workers must know about it.
    func work(
        network: CoordinatorMessage.Blob, trainingImages: CoordinatorMessage.Blob, testImages: CoordinatorMessage.Blob
    ) -> TrainingWork {
        TrainingWork(
            network: network, teacher: nil, trainingImages: trainingImages, testImages: testImages,
            normalisation: .standard, loss: TrainingLoss(), shardSize: start.settings.shardSize, precision: .float32,
            cutout: 0, mirrors: true, rowCount: start.layout.trainedCount + start.layout.statisticsCount)
    }

    /// The shares to compute next; nil if the training is over.
    func steps(of progress: TrainingProgress) -> [Job.Step]? {
        switch progress.next {
        case .finished: nil
        case .step(let shards): shards.map { .gradient($0) }
        case .evaluation:
            (progress.validationRange.isEmpty ? [] : [.evaluation(.train, progress.validationRange)])
                + [.evaluation(.test, 0..<testImages)]
        }
    }

    /// Takes the answers to these shares.
    func apply(_ answers: [StepScheduler.Answer], to progress: inout TrainingProgress) {
        var gradients: [ShardGradient] = []
        var evaluations: [Evaluation] = []
        for answer in answers {
            switch answer {
            case .gradient(let gradient): gradients.append(gradient)
            case .evaluation(let evaluation): evaluations.append(evaluation)
            }
        }
        guard let test = evaluations.last else {
            guard (try? progress.apply(gradients, seconds: 0)) != nil else { preconditionFailure("finite losses") }
            return
        }
        progress.apply(validation: evaluations.count > 1 ? evaluations[0] : nil, test: test, seconds: 0)
    }

    /// The result of a share with a row of parameters.
    func truth(_ step: Job.Step, _ row: [Float]) -> (result: JobResult, row: [Float]) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x100_0000_01b3 }
        for value in row { mix(UInt64(value.bitPattern)) }
        switch step {
        case .gradient(let shard):
            for image in shard.images { mix(UInt64(image)) }
            mix(UInt64(shard.epoch))
            var mixer = SplitMix64(seed: hash)
            let values = row.indices.map { _ in Float.random(in: 0..<1, using: &mixer) }
            let correct = Int.random(in: 0...shard.images.count, using: &mixer)
            return (
                .gradient(lossSum: .random(in: 0...9, using: &mixer), correct: correct, images: shard.images.count),
                values
            )
        case .evaluation(let split, let range):
            mix(split == .test ? 1 : 2)
            mix(UInt64(range.lowerBound))
            var mixer = SplitMix64(seed: hash)
            let evaluation = Evaluation(
                lossSum: .random(in: 0...1 << 32, using: &mixer), correct: .random(in: 0...range.count, using: &mixer),
                images: range.count)
            return (.evaluation(evaluation), [])
        }
    }

    /// The training's end without faults.
    private func undisturbed() -> TrainingProgress {
        var progress = start
        while let steps = steps(of: progress) {
            let answers = steps.map { step -> StepScheduler.Answer in
                let (result, row) = truth(step, progress.trained + progress.statistics)
                switch result {
                case .gradient(let lossSum, let correct, let images):
                    let count = progress.layout.trainedCount
                    return .gradient(
                        ShardGradient(
                            gradient: Array(row[..<count]), statistics: Array(row[count...]), lossSum: lossSum,
                            correct: correct, images: images))
                case .evaluation(let evaluation): return .evaluation(evaluation)
                case .masks: preconditionFailure("a share of a step")
                }
            }
            apply(answers, to: &progress)
        }
        return progress
    }

    /// Whether a training has ended as it does without faults, to the bit.
    func isRight(_ progress: TrainingProgress) -> Bool {
        let right = undisturbed()
        return progress.trained == right.trained && progress.statistics == right.statistics
            && progress.optimizer == right.optimizer && progress.history == right.history
    }
}
