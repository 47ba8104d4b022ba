import Shared

/// Passes over the evaluated masks of an ensemble that multiply by the matrix `X` of disabled filters, and by its
/// transpose, without ever building a mask.
///
/// A layer's sub-masks are windows of an order of its filters (see ``LayerSampler``), so a round of them costs
///
///     (X v)_mask   = prefix(end) - prefix(start)      a running sum of v over the order
///     (X'w)_filter = Σ_{windows that hold it} w       a running sum of what windows begin less what they end
///
/// its filters plus its sub-masks, whatever share of the filters is disabled; and a sub-mask shared by many masks is
/// summed once. A pass takes O(Σ_layers rounds × (filters + sub-masks) + masks × layers): with masks × filters it grows
/// as `masks × filters / (sub-masks of a round × repeats)`. Memory is O(filters) per thread and a bounded stretch of
/// masks; nothing is stored for all masks.
///
/// The masks are divided over the processors by their indices, in a way that depends on the ensemble and the evaluated
/// masks alone, and sums are added in their order: the results have the same bits for any number of threads.
struct MaskPasses: Sendable {
    /// Values processed side by side.
    typealias Lanes = SIMD4<Double>

    /// The evaluated masks, ascending.
    let indices: [Int]
    /// What draws each layer's sub-masks.
    let samplers: [LayerSampler]
    /// The filters of each layer as places in vectors over all ranked filters.
    let places: [Range<Int>]
    /// Filters that take part.
    let filters: Int

    private let threads: Int
    /// Masks of a stretch, which starts at a multiple of it.
    private let stretchMasks: Int
    private let stretches: Range<Int>

    /// The most parts to divide the masks into.
    private static let partsMax = 64
    /// The most filters in a stretch's rounds, about: a megabyte, which fits a processor's caches.
    private static let stretchFiltersMax = 1 << 18
    private static let stretchMasksMax = 4096
    /// A stretch of fewer masks would not be worth its overhead.
    private static let stretchMasksMin = 64

    /// Prepares passes over the evaluated masks of an ensemble, ascending.
    init(_ ensemble: Ensemble, indices: [Int], threads: Int = CPUAllowance.processors) {
        self.indices = indices
        self.threads = threads
        samplers = ensemble.samplers
        var places: [Range<Int>] = []
        for layer in ensemble.layers {
            let start = places.last?.upperBound ?? 0
            places.append(start..<start + layer.count)
        }
        self.places = places
        filters = places.last?.upperBound ?? 0
        let masks = Self.stretchMasks(samplers)
        stretchMasks = masks
        stretches = (indices.first ?? 0) / masks..<((indices.last ?? -masks) / masks + 1)
    }

    private static func stretchMasks(_ samplers: [LayerSampler]) -> Int {
        let filtersOfAMask = samplers.reduce(0.0) { $0 + Double($1.filters) / Double($1.submasks * $1.repeats) }
        // The numbers of disabled filters of each layer are also kept for a stretch.
        let numbersOfAMask = max(filtersOfAMask, Double(samplers.count), 1)
        let fitting = Double(stretchFiltersMax) / numbersOfAMask
        let masks = min(max(Int(fitting), stretchMasksMin), stretchMasksMax)
        // Whole rounds if they fit, since those that reach beyond a stretch may be drawn twice.
        let longest = samplers.map { $0.submasks * $0.repeats }.max() ?? 1
        return masks < longest ? masks : masks / longest * longest
    }

    /// Calls `visit` with every stretch that has evaluated masks, and returns the sum of its results.
    ///
    /// `visit` is called on several threads; stretches of one part come in order and share a sum, which starts as
    /// `zero`.
    func sum<Sum: Sendable>(
        _ zero: @autoclosure @Sendable () -> Sum, add: @Sendable (inout Sum, Sum) -> Void,
        _ visit: @Sendable (inout Sum, inout Stretch) -> Void
    ) -> Sum {
        let stretchesOfPart = max(1, (stretches.count + Self.partsMax - 1) / Self.partsMax)
        let parts = (stretches.count + stretchesOfPart - 1) / stretchesOfPart
        return OrderedReduction.reduce(parts: parts, threads: threads, into: zero()) { part in
            let first = stretches.lowerBound + part * stretchesOfPart
            var sum = zero()
            var stretch = Stretch(samplers, places)
            var position = firstPosition(from: first * stretchMasks)
            for number in first..<min(first + stretchesOfPart, stretches.upperBound) {
                let masks = number * stretchMasks..<(number + 1) * stretchMasks
                let start = position
                while position < indices.count, indices[position] < masks.upperBound { position += 1 }
                guard start < position else { continue }
                stretch.move(to: masks, evaluated: indices[start..<position])
                visit(&sum, &stretch)
            }
            return sum
        } combine: { whole, part in
            add(&whole, part)
        }
    }

    /// How many of the evaluated masks disable each filter. One pass.
    func timesDisabled() -> [Int] {
        let sums = transposedProduct(with: nil) { _, _ in Lanes(1, 0, 0, 0) }
        return sums.map { Int($0[0]) }
    }

    /// `X'w`, with `w` from `value` of an evaluated mask's position and `X v`; without a vector, zero. One pass.
    func transposedProduct(with vector: [Lanes]?, _ value: @Sendable (Int, Lanes) -> Lanes) -> [Lanes] {
        sum([Lanes](repeating: .zero, count: filters), add: Self.add) { sums, stretch in
            if let vector { stretch.multiply(with: vector) }
            stretch.mapValues(value)
            stretch.addTransposed(to: &sums)
        }
    }

    /// Adds a vector to another.
    @Sendable static func add(_ sums: inout [Lanes], _ other: [Lanes]) {
        for index in sums.indices { sums[index] += other[index] }
    }

    /// The position of the first evaluated mask from an index on.
    private func firstPosition(from index: Int) -> Int {
        var range = 0..<indices.count
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            range = indices[middle] < index ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return range.lowerBound
    }
}
