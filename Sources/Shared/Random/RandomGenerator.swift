/// A small generator whose numbers are the same on every machine: xoshiro256**, seeded by SplitMix64
/// (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021).
public struct RandomGenerator: Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// Seeds a separate stream for a key, such as `[seed, layer, round]`. O(key).
    public init(key: [UInt64]) {
        self.init(Self.seed(for: key))
    }

    /// The seed of a key's stream, and of the streams of longer keys that begin with it.
    static func seed(for key: [UInt64]) -> SplitMix64 { SplitMix64(seed: 0x6a09_e667_f3bc_c908, path: key) }

    /// Seeds the stream of the key given to ``seed(for:)``.
    init(_ seed: SplitMix64) {
        var seed = seed
        state = (seed.next(), seed.next(), seed.next(), seed.next())
    }

    /// 64 random bits.
    public mutating func next() -> UInt64 {
        let result = Self.rotated(state.1 &* 5, by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = Self.rotated(state.3, by: 45)
        return result
    }

    /// A uniform number in `0..<bound` (Lemire, "Fast random integer generation in an interval", 2019).
    public mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "an interval has at least one number")
        let bound = UInt64(bound)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return Int(product.high)
    }

    /// Shuffles values uniformly.
    public mutating func shuffle<Element>(_ values: inout [Element]) {
        values.withUnsafeMutableBufferPointer { values in
            var last = values.count - 1
            while last > 0 {
                values.swapAt(last, below(last + 1))
                last -= 1
            }
        }
    }

    private static func rotated(_ value: UInt64, by bits: UInt64) -> UInt64 {
        value << bits | value >> (64 - bits)
    }
}
