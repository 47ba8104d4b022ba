/// Which images of a pool each mask is evaluated on: every group of neighbouring masks has its own.
///
/// The pool is shuffled, and each group takes the next stretch of it. When the rest is too short for another group, the
/// pool is shuffled again. So no image is seen twice before nearly all were seen once, and a group's images follow from
/// the seed and its number alone.
public struct ImageRotation: Sendable, Hashable, Codable {
    /// About how many neighbouring masks share images: a group is large enough for the fit to estimate the difficulty
    /// of its images, and small enough for a run to have many.
    static let masksAbout = 64

    /// Images of the pool: the first ones of the split.
    public let pool: Int
    /// How many neighbouring masks share their images: masks `k·masks` up to `(k+1)·masks` are one group.
    public let masks: Int
    /// The seed of the orders.
    public let seed: UInt64

    /// Makes a rotation from its numbers.
    public init(pool: Int, masks: Int, seed: UInt64) {
        self.pool = pool
        self.masks = masks
        self.seed = seed
    }

    /// The rotation for the masks of an ensemble: groups that share layers stay together.
    public init(pool: Int, of ensemble: Ensemble) {
        let group = ensemble.groupSize
        self.init(pool: pool, masks: group * max(1, Self.masksAbout / group), seed: ensemble.seed)
    }

    /// The group of a mask.
    public func group(of mask: Int) -> Int { mask / masks }

    /// The numbers of a group's images in the pool, in random order; `count` is at most ``pool``. O(pool).
    public func images(ofGroup group: Int, count: Int) -> [Int] {
        precondition((1...max(pool, 1)).contains(count), "a group's images fit into the pool")
        let (turn, place) = group.quotientAndRemainder(dividingBy: pool / count)
        var generator = RandomGenerator(key: [seed, 0x696d_6167_6573, UInt64(turn)])
        var order = Array(0..<pool)
        generator.shuffle(&order)
        return Array(order[place * count..<(place + 1) * count])
    }

    /// Whether groups of an ensemble's masks that share layers stay together, and the pool has this many images.
    public func fits(_ ensemble: Ensemble, images: Int) -> Bool {
        (images...ImageSet.countMax).contains(pool) && masks > 0 && masks % ensemble.groupSize == 0
    }
}
