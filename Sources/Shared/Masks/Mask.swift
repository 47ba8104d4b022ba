/// Which filters of a network are disabled: one bit per filter of its ``FilterSpace``, set if disabled.
public struct Mask: Sendable, Hashable {
    /// The number of filters.
    public let count: Int
    /// The bits, filter 0 in the lowest bit of the first word; bits past ``count`` are zero.
    public private(set) var words: [UInt64]

    /// A mask that disables nothing.
    public init(count: Int) {
        self.count = count
        words = [UInt64](repeating: 0, count: (count + 63) / 64)
    }

    /// A mask that disables the given filters.
    public init(count: Int, disabled: some Sequence<Int>) {
        self.init(count: count)
        for filter in disabled { self[filter] = true }
    }

    /// A mask from its words, or nil if their number is wrong or a bit past `count` is set.
    public init?(count: Int, words: [UInt64]) {
        guard words.count == (count + 63) / 64 else { return nil }
        if count % 64 != 0, let last = words.last, last >> UInt64(count % 64) != 0 { return nil }
        self.count = count
        self.words = words
    }

    /// Whether a filter is disabled.
    public subscript(filter: Int) -> Bool {
        get {
            precondition((0..<count).contains(filter), "no such filter")
            return words[filter >> 6] >> UInt64(filter & 63) & 1 == 1
        }
        set {
            precondition((0..<count).contains(filter), "no such filter")
            let bit = UInt64(1) << UInt64(filter & 63)
            if newValue { words[filter >> 6] |= bit } else { words[filter >> 6] &= ~bit }
        }
    }

    /// How many filters are disabled.
    public var disabledCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The disabled filters, ascending.
    public var disabled: [Int] {
        var result: [Int] = []
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                result.append(index * 64 + rest.trailingZeroBitCount)
                rest &= rest - 1
            }
        }
        return result
    }
}
