/// Draws the sub-masks of one layer: which of its filters each sub-mask disables.
///
/// Balanced sub-masks come in rounds. A round takes a random order of the filters as a circle and gives each of its
/// sub-masks the next window of it; the windows go round the circle a whole number of times, so that every filter is
/// disabled equally often in every round.
struct LayerSampler: Sendable {
    /// The sub-masks of one round.
    struct Round: Sendable {
        /// The filters, counted from the layer's first, in a random order.
        let order: [Int]
        /// Where each sub-mask's window starts on the circle, and at the end where the last one stops.
        let bounds: [Int]

        /// Calls `disable` with every filter of a sub-mask.
        func forEachDisabled(by submask: Int, _ disable: (Int) -> Void) {
            for position in bounds[submask]..<bounds[submask + 1] { disable(order[position % order.count]) }
        }
    }

    /// Filters of the layer.
    let filters: Int
    /// Sub-masks of a round.
    let submasks: Int
    /// How often a round disables each filter.
    let turns: Int
    /// `sizeSpread` in 2^-20, lowered where a window would otherwise hold nearly all filters.
    private let spread: UInt64
    private let key: [UInt64]

    /// 1 in the fixed-point numbers of sizes, in which sums and products of any round fit 64 bits.
    private static let one: UInt64 = 1 << 20
    /// Sub-masks of a round at most, which bounds the error of the drop rate.
    private static let submasksMax = 1024
    /// The relative error of the drop rate that is accepted for a shorter round.
    private static let rateTolerance = 0.01
    /// No window is planned to hold more of a layer than this, so that no layer dies in a mask.
    private static let shareMax = 0.9

    init(filters: Int, rate: Double, sizeSpread: Double, key: [UInt64]) {
        self.filters = filters
        self.key = key
        (submasks, turns) = Self.round(for: rate)
        let share = Double(turns) / Double(submasks)
        let widest = max(0, min(sizeSpread, Self.shareMax / share - 1))
        spread = UInt64((widest * Double(Self.one)).rounded())
    }

    /// The shortest round whose share of disabled filters is near enough to the rate.
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

    /// Draws a round. O(filters + sub-masks of a round).
    func round(_ number: Int) -> Round {
        var generator = RandomGenerator(key: key + [UInt64(number)])
        var order = Array(0..<filters)
        generator.shuffle(&order)
        var strata = Array(0..<submasks)
        generator.shuffle(&strata)
        // The sizes in 2^-20 of the mean: one from each stratum of 1 ± spread.
        var sum: UInt64 = 0
        let ends = strata.map { stratum -> UInt64 in
            let place = (UInt64(stratum) << 32 + generator.next() >> 32) / UInt64(submasks)
            sum += Self.one - spread + (2 * spread * place) >> 32
            return sum
        }
        let length = UInt64(filters * turns)
        let bounds = [0] + ends.map { Int(($0 * length + sum / 2) / sum) }
        return Round(order: order, bounds: bounds)
    }
}
