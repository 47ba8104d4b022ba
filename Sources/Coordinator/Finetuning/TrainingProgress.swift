import Foundation
import Shared

/// A training as a value: what to compute next, and how the answers change it. Without clock, file or socket; the same
/// answers give the same parameters, bit for bit, wherever it is interrupted and resumed.
struct TrainingProgress: Sendable {
    /// What to compute next, all with the current parameters.
    enum Next: Sendable, Equatable {
        /// The shards of a step, in the order their gradients are added.
        case step([TrainingShard])
        /// An epoch is over (or none has begun): the validation images, if any, and the test images.
        case evaluation
        /// Nothing: the training is over.
        case finished
    }

    /// A training's position, besides its parameters.
    struct Position: Sendable, Equatable, Codable {
        /// Epochs that are over.
        var epoch = 0
        /// Completed steps of the current epoch.
        var step = 0
        /// Sums over the present epoch.
        var lossSum = 0.0
        var correct = 0
        var images = 0
        var seconds = 0.0
    }

    let graph: Graph
    /// What else is known about the network.
    let facts: NetworkFacts
    let layout: ParameterLayout
    let settings: TrainingSettings
    /// Images of the training split.
    let imageCount: Int

    /// What training changes.
    var trained: [Float]
    var statistics: [Float]
    var optimizer: MomentumOptimizer
    var position = Position()
    var history = TrainingHistory()
    /// The parameters with the greatest validation accuracy so far; empty without validation images.
    var best: (trained: [Float], statistics: [Float]) = ([], [])
    /// Rises with every change of the parameters.
    private(set) var version: UInt64 = 1

    /// Starts a training. Throws a `.usage` ``Failure`` if there are too few images for one step.
    init(_ network: Network, settings: TrainingSettings, imageCount: Int) throws {
        try settings.validate()
        let hasConvolutions = network.graph.nodes.contains { node in
            if case .convolution = node.operation { true } else { false }
        }
        if settings.precision == .bfloat16, !hasConvolutions {
            throw Failure(.usage, "a fully connected network has no convolutions; train it with --precision float32")
        }
        graph = network.graph
        facts = network.facts
        layout = ParameterLayout(graph)
        self.settings = settings
        self.imageCount = imageCount
        (trained, statistics) = layout.flatten(network)
        optimizer = MomentumOptimizer(settings.optimizer, count: layout.trainedCount)
        guard imageCount - settings.validationImages >= settings.batchSize else {
            throw Failure(
                .usage,
                "\(imageCount) training images minus \(settings.validationImages) for validation are fewer "
                    + "than one batch of \(settings.batchSize)")
        }
    }

    /// Steps per epoch. Images that do not fill a batch wait for another epoch, with another order.
    var stepsPerEpoch: Int { (imageCount - settings.validationImages) / settings.batchSize }
    /// Completed steps, of all epochs.
    var stepsDone: Int { position.epoch * stepsPerEpoch + position.step }
    /// The images kept out of training.
    var validationRange: Range<Int> { imageCount - settings.validationImages..<imageCount }
    /// The learning rate of the present step.
    var learningRate: Float {
        settings.schedule.rate(step: stepsDone, stepsPerEpoch: stepsPerEpoch, epochs: settings.epochs)
    }
    /// The network as it is now.
    var network: Network { network(trained, statistics) }
    /// The network with the greatest validation accuracy so far, or nil without validation images.
    var bestNetwork: Network? { best.trained.isEmpty ? nil : network(best.trained, best.statistics) }

    private func network(_ trained: [Float], _ statistics: [Float]) -> Network {
        var network = layout.network(graph, trained: trained, statistics: statistics)
        network.facts = facts
        return network
    }

    /// What to compute next.
    var next: Next {
        if history.testAccuracyBefore == nil { return .evaluation }
        if position.step == stepsPerEpoch { return .evaluation }
        if position.epoch == settings.epochs { return .finished }
        return .step(shards())
    }

    /// Takes the gradients of a step, in the order of its shards. Throws a `.badInput` ``Failure`` if the loss becomes
    /// NaN.
    mutating func apply(_ shards: [ShardGradient], seconds: Double) throws {
        let lossSum = shards.reduce(0) { $0 + $1.lossSum }
        guard lossSum.isFinite else {
            throw Failure(
                .badInput,
                "the loss is NaN after step \(stepsDone); a smaller --learning-rate or a longer --warm-up helps")
        }
        optimizer.step(
            &trained, gradient: MomentumOptimizer.mean(of: shards), rate: learningRate, layout: layout)
        MomentumOptimizer.update(&statistics, with: shards, layout: layout)
        version += 1
        position.step += 1
        position.lossSum += lossSum
        position.correct += shards.reduce(0) { $0 + $1.correct }
        position.images += shards.reduce(0) { $0 + $1.images }
        position.seconds += seconds
    }

    /// Takes the evaluations that end an epoch, or come before the first.
    mutating func apply(validation: Evaluation?, test: Evaluation, seconds: Double) {
        func accuracy(_ evaluation: Evaluation) -> Double {
            Double(evaluation.correct) / Double(max(evaluation.images, 1))
        }
        guard history.testAccuracyBefore != nil else {
            history.testAccuracyBefore = accuracy(test)
            return
        }
        let images = Double(max(position.images, 1))
        let lastStep = stepsDone - 1
        let bestBefore = history.bestByValidation?.validationAccuracy ?? -1
        history.epochs.append(
            TrainingHistory.Epoch(
                epoch: position.epoch + 1,
                learningRate: settings.schedule.rate(
                    step: lastStep, stepsPerEpoch: stepsPerEpoch, epochs: settings.epochs),
                trainingLoss: position.lossSum / images, trainingAccuracy: Double(position.correct) / images,
                validationLoss: validation?.loss, validationAccuracy: validation.map(accuracy), testLoss: test.loss,
                testAccuracy: accuracy(test), seconds: position.seconds + seconds))
        if let validation, accuracy(validation) > bestBefore { best = (trained, statistics) }
        position = Position(epoch: position.epoch + 1)
    }

    /// The shards of the present step: the epoch's order is a function of the seed and the epoch.
    private func shards() -> [TrainingShard] {
        var random = SplitMix64(seed: settings.seed, 1, position.epoch)
        let order = (0..<imageCount - settings.validationImages).shuffled(using: &random)
        let batch = order[position.step * settings.batchSize..<(position.step + 1) * settings.batchSize]
        return (0..<settings.shards).map { shard in
            let start = batch.startIndex + shard * settings.shardSize
            return TrainingShard(
                images: Array(batch[start..<start + settings.shardSize]),
                augmentationSeed: settings.augments ? settings.seed : nil, epoch: position.epoch)
        }
    }
}
