/// Steele, Lea and Flood's SplitMix64 (2014): small, seeded, the same numbers on every machine.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator that is a function of its seed.
    public init(seed: UInt64) { state = seed }

    /// A generator that is a function of a seed and a path of numbers, for example the epoch and the image.
    public init(seed: UInt64, _ path: Int...) {
        self.init(seed: seed, path: path.map { UInt64(truncatingIfNeeded: $0) })
    }

    /// The same for a path of any length.
    public init(seed: UInt64, path: [UInt64]) {
        state = seed
        for step in path { state = next() ^ step }
    }

    /// The generator whose path is one step longer.
    func following(_ step: UInt64) -> SplitMix64 {
        var generator = self
        generator.state = generator.next() ^ step
        return generator
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
