/// A stream of random numbers that is the same on every machine: SplitMix64 (Steele, Lea, Flood 2014).
struct RandomSource {
    private var state: UInt64

    /// A stream of its own for every pair of numbers.
    init(seed: UInt64, stream: UInt64) {
        state = seed
        state = next() ^ stream
        _ = next()
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number of a range of at most 2^32, by Lemire's multiplication; its bias is below 2^-32.
    mutating func integer(in range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound + 1)
        return range.lowerBound + Int(((next() >> 32) * count) >> 32)
    }

    /// True once in `times`.
    mutating func once(in times: Int) -> Bool { integer(in: 1...times) == 1 }
}
