import Shared

/// Computes shards' gradients and evaluates images, on one thread.
///
/// A gradient is a function of the parameters and the shard alone, with the same bits on every machine of the same
/// instruction set.
final class ShardTrainer {
    /// A version of the parameters and statistics, in the order of ``ParameterLayout``.
    final class Parameters: Sendable {
        let trained: [Float]
        let statistics: [Float]

        init(trained: [Float], statistics: [Float]) {
            self.trained = trained
            self.statistics = statistics
        }

        /// Those of a network.
        convenience init(_ network: Network) {
            let (trained, statistics) = ParameterLayout(network.graph).flatten(network)
            self.init(trained: trained, statistics: statistics)
        }
    }

    /// A plan and the parameters that it holds.
    private struct Loaded {
        let plan: TrainingPlan
        var parameters: Parameters?
    }

    /// The teacher, computed by the engine, which is much faster at it than a training plan.
    private struct Teaching {
        let forward: DenseForward
        /// The shard's images, `[images, channel, row, column]`.
        let input: AlignedBuffer
        let logits: AlignedBuffer
    }

    private let graph: Graph
    private let images: ImageLoader
    private let loss: TrainingLoss
    private let teacher: Network?
    private let shardSize: Int
    private let precision: TrainingPrecision
    private var training: Loaded?
    private var inference: Loaded?
    private var importance: Loaded?
    private var teaching: Teaching?

    /// A trainer for shards of `shardSize` images, with gradients in the given precision. The loss needs `teacher` if
    /// it has distillation.
    init(
        _ graph: Graph, images: ImageLoader, loss: TrainingLoss, teacher: Network?, shardSize: Int,
        precision: TrainingPrecision = .float32
    ) {
        precondition(
            shardSize > 0 && (loss.distillation == nil || teacher != nil), "a shard, and a teacher to learn from")
        self.graph = graph
        self.images = images
        self.loss = loss
        self.teacher = loss.distillation == nil ? nil : teacher
        self.shardSize = shardSize
        self.precision = precision
    }

    /// The gradient of a shard of the trainer's size.
    func gradient(of shard: TrainingShard, with parameters: Parameters) throws -> ShardGradient {
        precondition(shard.images.count == shardSize, "the shard has the trainer's size")
        let plan = try load(parameters, into: &training, .training)
        write(shard, of: images, to: plan)
        try plan.forward(.batch)
        let (lossSum, correct) = try loseAndDifferentiate(plan, shard)
        try plan.backward()
        return ShardGradient(
            gradient: plan.gradient.values, statistics: plan.batchStatistics, lossSum: lossSum, correct: correct,
            images: shardSize)
    }

    /// The cross-entropy of images as they are, with running statistics.
    func evaluate(_ range: Range<Int>, of images: ImageLoader, with parameters: Parameters) throws -> Evaluation {
        let plan = try load(parameters, into: &inference, .inference)
        var evaluation = Evaluation()
        let crossEntropy = TrainingLoss()
        for start in stride(from: range.lowerBound, to: range.upperBound, by: shardSize) {
            let batch = Array(start..<min(start + shardSize, range.upperBound))
            write(TrainingShard(images: batch, augmentationSeed: nil, epoch: 0), of: images, to: plan)
            try plan.forward(.running)
            let classes = plan.logits.count / plan.images
            for (position, image) in batch.enumerated() {
                let (nats, correct) = crossEntropy.evaluate(
                    logits: UnsafeBufferPointer(start: plan.logits.pointer + position * classes, count: classes),
                    label: images.label(image), teacher: nil, gradient: plan.logitsGradient.pointer)
                let counted = nats.isFinite ? min(nats, Evaluation.imageLossMax) : Evaluation.imageLossMax
                evaluation.lossSum += Int64((counted * Evaluation.unitsPerNat).rounded())
                evaluation.correct += correct ? 1 : 0
                evaluation.images += 1
            }
        }
        return evaluation
    }

    /// For every filter of the network's ``FilterSpace``, the sum over images of the squared gradient of an image's
    /// loss with respect to a gate on the filter's output, with frozen batch norms: Molchanov et al. (2019),
    /// "Importance estimation for neural network pruning", equation 8 with gates as ``GateEnds`` places them.
    func squaredGateGradients(of range: Range<Int>, with parameters: Parameters) throws -> [Double] {
        precondition(range.count == shardSize, "the range has the trainer's size")
        let plan = try load(parameters, into: &importance, .importance)
        let shard = TrainingShard(images: Array(range), augmentationSeed: nil, epoch: 0)
        write(shard, of: images, to: plan)
        try plan.forward(.running)
        _ = try loseAndDifferentiate(plan, shard)
        try plan.backward()
        let filters = plan.gates.count / shardSize
        var sums = [Double](repeating: 0, count: filters)
        for image in 0..<shardSize {
            for filter in 0..<filters {
                let gate = Double(plan.gates.pointer[image * filters + filter])
                sums[filter] += gate * gate
            }
        }
        return sums
    }

    private func load(
        _ parameters: Parameters, into slot: inout Loaded?, _ purpose: PlanPurpose
    ) throws -> TrainingPlan {
        var loaded =
            try slot
            ?? Loaded(
                plan: TrainingPlan(
                    graph, images: shardSize, purpose: purpose,
                    precision: purpose == .training ? precision : .float32))
        if loaded.parameters !== parameters {
            try loaded.plan.load(trained: parameters.trained, statistics: parameters.statistics)
            loaded.parameters = parameters
        }
        slot = loaded
        return loaded.plan
    }

    private func write(_ shard: TrainingShard, of images: ImageLoader, to plan: TrainingPlan) {
        write(shard, of: images, channelsLast: plan.channelsLast, to: plan.input.pointer)
    }

    private func write(
        _ shard: TrainingShard, of images: ImageLoader, channelsLast: Bool, to input: UnsafeMutablePointer<Float>
    ) {
        for (position, image) in shard.images.enumerated() {
            let distortion =
                shard.augmentationSeed.map { images.distortion(seed: $0, epoch: shard.epoch, image: image) }
                ?? ImageLoader.Distortion()
            images.write(
                image, distortion, channelsLast: channelsLast, to: input + position * images.valueCount)
        }
    }

    private func loseAndDifferentiate(
        _ plan: TrainingPlan, _ shard: TrainingShard
    ) throws -> (lossSum: Double, correct: Int) {
        let classes = plan.logits.count / plan.images
        let wanted = try teach(shard)
        var lossSum = 0.0
        var correct = 0
        for (position, image) in shard.images.enumerated() {
            let start = position * classes
            let (nats, hit) = loss.evaluate(
                logits: UnsafeBufferPointer(start: plan.logits.pointer + start, count: classes),
                label: images.label(image),
                teacher: wanted.map { UnsafeBufferPointer(start: $0.pointer + start, count: classes) },
                gradient: plan.logitsGradient.pointer + start)
            lossSum += nats
            correct += hit ? 1 : 0
        }
        return (lossSum, correct)
    }

    /// The teacher's outputs for a shard with the same augmentation.
    private func teach(_ shard: TrainingShard) throws -> AlignedBuffer? {
        guard let teacher else { return nil }
        let teaching =
            try self.teaching
            ?? Teaching(
                forward: DenseForward(teacher, instructionSet: .preferred()),
                input: AlignedBuffer(count: shardSize * images.valueCount),
                logits: AlignedBuffer(count: shardSize * teacher.graph.classes))
        self.teaching = teaching
        write(shard, of: images, channelsLast: false, to: teaching.input.pointer)
        teaching.forward.compute(
            teaching.input.pointer, images: shard.images.count, to: teaching.logits.pointer)
        return teaching.logits
    }
}
