import Shared

/// Everything that decides the result of a training besides the network and the images.
struct TrainingSettings: Sendable, Hashable, Codable {
    /// Passes over the training images.
    var epochs = 40
    /// Images of a step.
    var batchSize = 128
    /// Shares of a step; each has its own batch statistics.
    var shards = 2
    /// How the learning rate goes.
    var schedule = LearningRateSchedule()
    /// Momentum and weight decay.
    var optimizer = MomentumOptimizer.Settings()
    /// The minimised loss.
    var loss = TrainingLoss()
    /// Decides the order of the images, their distortion, and initial parameters.
    var seed: UInt64 = 1
    /// Whether images are cropped and mirrored at random.
    var augments = true
    /// Whether half of these are mirrored.
    var mirrors = true
    /// Side of the square to hide in every augmented image; 0 for none.
    var cutout = 0
    /// What convolutions multiply.
    var precision = TrainingPrecision.float32
    /// The last images of the training split, held out of training.
    var validationImages = 0
    /// How pixels become inputs.
    var normalisation = Normalisation.standard

    /// Images of one share.
    var shardSize: Int { batchSize / shards }

    /// Throws a `.usage` ``Failure`` that says which option is wrong.
    func validate() throws {
        func check(_ isRight: Bool, _ message: String) throws {
            if !isRight { throw Failure(.usage, message) }
        }
        try check((1...100_000).contains(epochs), "--epochs must be 1 to 100000")
        try check(shards > 0 && batchSize > 0, "--batch-size and --shards must be positive")
        try check(
            batchSize % shards == 0, "--batch-size (\(batchSize)) must be a multiple of --shards (\(shards))")
        try check(
            shardSize <= TrainingShard.imagesMax,
            "a shard may have \(TrainingShard.imagesMax) images at most; use more --shards")
        try check(
            (0...ImageLayout.extentMax).contains(cutout), "--cutout must be 0 to the images' height")
        try check(cutout == 0 || augments, "--cutout hides nothing with --no-augmentation")
        try check(validationImages >= 0, "--validation-images must not be negative")
        try check(schedule.peak > 0, "--learning-rate must be positive")
        try check(
            schedule.warmUpEpochs >= 0 && schedule.warmUpEpochs < Double(epochs),
            "--warm-up must be less than --epochs and not negative")
        try check((0..<1).contains(optimizer.momentum), "--momentum must be at least 0 and less than 1")
        try check(optimizer.weightDecay >= 0, "--weight-decay must not be negative")
        try check((0..<1).contains(loss.labelSmoothing), "--label-smoothing must be at least 0 and less than 1")
        if let distillation = loss.distillation {
            try check(distillation.temperature > 0, "--distill-temperature must be positive")
            try check((0...1).contains(distillation.weight), "--distill-weight must be 0 to 1")
        }
    }
}
