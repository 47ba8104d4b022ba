import Shared

/// A stream of random numbers that is the same on every machine.
struct RandomSource {
    private var generator: SplitMix64

    /// A separate stream for every pair of numbers.
    init(seed: UInt64, stream: UInt64) {
        generator = SplitMix64(seed: seed, path: [stream])
        _ = generator.next()
    }

    /// A number in a range of at most 2^32, by Lemire's multiplication; its bias is below 2^-32.
    mutating func integer(in range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound + 1)
        return range.lowerBound + Int(((generator.next() >> 32) * count) >> 32)
    }

    /// True once in `times`.
    mutating func once(in times: Int) -> Bool { integer(in: 1...times) == 1 }
}
