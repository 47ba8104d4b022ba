import Shared

/// Masks of hidden filters like those of the coordinator's designs, for measurements of speed only.
struct BenchMasks {
    /// The share of a layer's filters that the coordinator's designs disable by default.
    static let dropRate = 0.25
    /// The default design's segments of the network.
    static let segments = 3
    /// How many neighbouring masks of a segment share one of the segment before it in the default design.
    static let branching = 4

    let architecture: Architecture

    /// Every filter drawn by itself.
    func independent(_ count: Int) -> [Mask] {
        var generator = BenchRandom(state: 1)
        let space = FilterSpace(architecture)
        let hidden = space.layers.filter { $0.role == .hidden }.flatMap(\.filters)
        return (0..<count).map { _ in
            Mask(count: space.count, disabled: hidden.filter { _ in generator.uniform() < Self.dropRate })
        }
    }

    /// Masks that share early segments, the disabled shares of a layer spread from 0 to twice the drop rate.
    func tree(_ count: Int) -> [Mask] {
        var generator = BenchRandom(state: 2)
        let space = FilterSpace(architecture)
        let hidden = space.layers.filter { $0.role == .hidden }
        var masks = [Mask](repeating: Mask(count: space.count), count: count)
        for (index, layer) in hidden.enumerated() {
            let segment = index * Self.segments / hidden.count
            let sharing = (segment..<Self.segments - 1).reduce(1) { product, _ in product * Self.branching }
            for first in stride(from: 0, to: count, by: sharing) {
                let share = 2 * Self.dropRate * generator.uniform()
                let size = Int((share * Double(layer.filters.count)).rounded())
                let disabled = layer.filters.shuffled(using: &generator).prefix(size)
                for mask in first..<min(first + sharing, count) {
                    for filter in disabled { masks[mask][filter] = true }
                }
            }
        }
        return masks
    }
}

/// SplitMix64 (Steele et al., 2014).
struct BenchRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number in 0..<1.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Images of noise.
    mutating func images(_ count: Int) -> ImageSet {
        var records = [UInt8](repeating: 0, count: count * ImageSet.recordBytes)
        for index in records.indices {
            let isLabel = index % ImageSet.recordBytes == 0
            records[index] = UInt8(truncatingIfNeeded: next() % (isLabel ? UInt64(ImageSet.classes) : 256))
        }
        return ImageSet(records: records)
    }
}
