/// Draws the sub-masks of one layer: which of its filters each sub-mask disables.
///
/// Sub-masks come in rounds. A round has an order of filters, taken as a circle, and gives each of its sub-masks the
/// next window of it. The order depends on the design:
/// - *balanced*: all filters in random order; the windows go round the circle a whole number of times, so every filter
///   is disabled equally often in every round;
/// - *independent*: the filters that the round's only sub-mask disables, in one window;
/// - *ablation*: all filters in their own order; a window holds one filter if it is this layer's turn, otherwise none.
///
/// So a sum over the filters that a sub-mask disables is a difference of prefix sums over its round's order.
public struct LayerSampler: Sendable {
    /// The sub-masks of one round.
    public struct Round: Sendable {
        /// Its number; -1 before anything was drawn.
        public fileprivate(set) var number = -1
        /// Filters, counted from the layer's first, as the circle has them.
        public fileprivate(set) var order: [UInt32] = []
        /// Where each sub-mask's window starts on the circle, and finally where the last one stops. Ascending; a bound
        /// of a multiple of the circle's length or more has gone round that many times.
        public fileprivate(set) var bounds: [Int] = [0]
        fileprivate var strata: [Int] = []

        /// A round to draw into.
        public init() {}

        /// Makes the order that of all filters as they stand.
        fileprivate mutating func takeAll(_ filters: Int) {
            if order.count != filters { order = Array(repeating: 0, count: filters) }
            order.withUnsafeMutableBufferPointer { order in
                for filter in order.indices { order[filter] = UInt32(truncatingIfNeeded: filter) }
            }
        }

        /// Calls `disable` with every filter of a sub-mask.
        func forEachDisabled(by submask: Int, _ disable: (Int) -> Void) {
            for position in bounds[submask]..<bounds[submask + 1] { disable(Int(order[position % order.count])) }
        }
    }

    private enum Design {
        /// `spread` is `sizeSpread` in 2^-20, lowered if a window would otherwise hold nearly all filters.
        case balanced(spread: UInt64)
        /// `threshold` is the drop rate in 2^-53.
        case independent(threshold: UInt64)
        /// `first` is the sub-mask that disables the layer's first filter.
        case ablation(first: Int)
    }

    /// Filters of the layer.
    public let filters: Int
    /// Sub-masks of a round.
    public let submasks: Int
    /// How many neighbouring masks have the same sub-mask.
    public let repeats: Int
    /// How often a balanced round disables each filter.
    let turns: Int
    private let design: Design
    /// Seeds the rounds' generators.
    private let seed: SplitMix64

    /// 1 in the fixed-point numbers of sizes; sums and products of any round fit 64 bits.
    private static let one: UInt64 = 1 << 20
    /// The most sub-masks of a round, which bounds the error of the drop rate.
    private static let submasksMax = 1024
    /// The accepted relative error of the drop rate for a shorter round.
    private static let rateTolerance = 0.01
    /// No window is planned to hold more of a layer than this, so no mask kills a layer.
    private static let shareMax = 0.9

    /// Draws balanced sub-masks.
    init(filters: Int, rate: Double, sizeSpread: Double, repeats: Int = 1, key: [UInt64]) {
        self.filters = filters
        self.repeats = repeats
        seed = RandomGenerator.seed(for: key)
        (submasks, turns) = Self.round(for: rate)
        let share = Double(turns) / Double(submasks)
        let widest = max(0, min(sizeSpread, Self.shareMax / share - 1))
        design = .balanced(spread: UInt64((widest * Double(Self.one)).rounded()))
    }

    /// Draws sub-masks in which every filter is disabled independently.
    init(filters: Int, independentRate rate: Double, repeats: Int, key: [UInt64]) {
        self.filters = filters
        self.repeats = repeats
        seed = RandomGenerator.seed(for: key)
        (submasks, turns) = (1, 0)
        design = .independent(threshold: UInt64(rate * 0x1p53))
    }

    /// Disables each filter once, the first one in sub-mask `first`.
    init(filters: Int, ablatedFrom first: Int, repeats: Int) {
        self.filters = filters
        self.repeats = repeats
        seed = RandomGenerator.seed(for: [])
        (submasks, turns) = (Self.submasksMax, 0)
        design = .ablation(first: first)
    }

    /// The shortest round whose share of disabled filters is close enough to the rate.
    private static func round(for rate: Double) -> (submasks: Int, turns: Int) {
        var best = (submasks: 2, turns: 1)
        var bestError = Double.infinity
        for submasks in 2...submasksMax {
            let turns = max(1, Int((Double(submasks) * rate).rounded()))
            let error = abs(Double(turns) / Double(submasks) - rate) / rate
            if error < bestError { (best, bestError) = ((submasks, turns), error) }
            if bestError <= rateTolerance { break }
        }
        return best
    }

    /// Draws a round, unless `round` holds it already. Reuses its memory. O(filters + sub-masks of a round).
    public func draw(_ number: Int, into round: inout Round) {
        guard round.number != number else { return }
        round.number = number
        round.bounds.removeAll(keepingCapacity: true)
        round.bounds.append(0)
        switch design {
        case .balanced(let spread): drawBalanced(spread: spread, into: &round)
        case .independent(let threshold):
            var generator = RandomGenerator(seed.following(UInt64(number)))
            round.order.removeAll(keepingCapacity: true)
            for filter in 0..<UInt32(filters) where generator.next() >> 11 < threshold { round.order.append(filter) }
            round.bounds.append(round.order.count)
        case .ablation(let first):
            round.takeAll(filters)
            let start = number * submasks - first
            round.bounds[0] = min(max(start, 0), filters)
            for submask in 1...submasks { round.bounds.append(min(max(start + submask, 0), filters)) }
        }
    }

    private func drawBalanced(spread: UInt64, into round: inout Round) {
        var generator = RandomGenerator(seed.following(UInt64(round.number)))
        round.takeAll(filters)
        generator.shuffle(&round.order)
        round.strata.removeAll(keepingCapacity: true)
        round.strata.append(contentsOf: 0..<submasks)
        generator.shuffle(&round.strata)
        // The sizes in 2^-20 of the mean: one from each stratum of 1 ± spread.
        var sum: UInt64 = 0
        for stratum in round.strata {
            let place = (UInt64(stratum) << 32 + generator.next() >> 32) / UInt64(submasks)
            sum += Self.one - spread + (2 * spread * place) >> 32
            round.bounds.append(Int(sum))
        }
        let length = UInt64(filters * turns)
        for submask in 1...submasks {
            round.bounds[submask] = Int((UInt64(round.bounds[submask]) * length + sum / 2) / sum)
        }
    }
}
