/// One share of a training step: images of the training split and their augmentation. Its result is a function of the
/// shard and the parameters alone.
public struct TrainingShard: Sendable, Hashable {
    /// The most images of a shard.
    public static let imagesMax = 4096
    /// The greatest number of an image.
    public static let imageMax = 1 << 30

    /// Records of the training split.
    public var images: [Int]
    /// The seed of the crops and flips, or nil for none. An image's augmentation is a function of the seed, the epoch
    /// and the image.
    public var augmentationSeed: UInt64?
    /// The epoch, counted from zero.
    public var epoch: Int

    /// Makes a shard.
    public init(images: [Int], augmentationSeed: UInt64?, epoch: Int) {
        self.images = images
        self.augmentationSeed = augmentationSeed
        self.epoch = epoch
    }
}

/// A shard's contribution to a step.
public struct ShardGradient: Sendable, Equatable {
    /// The gradient of the sum of the images' losses, in the order of ``ParameterLayout/trained``.
    public var gradient: [Float]
    /// The batch's means and unbiased variances, in the order of ``ParameterLayout/statistics``.
    public var statistics: [Float]
    /// The sum of the images' losses, in nats.
    public var lossSum: Double
    /// Images whose largest output is their label.
    public var correct: Int
    /// The shard's images.
    public var images: Int

    /// Makes a contribution.
    public init(gradient: [Float], statistics: [Float], lossSum: Double, correct: Int, images: Int) {
        self.gradient = gradient
        self.statistics = statistics
        self.lossSum = lossSum
        self.correct = correct
        self.images = images
    }
}
