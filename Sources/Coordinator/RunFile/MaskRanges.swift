import Shared

/// The masks of a lease, written briefly: `0-15,32,40-41`. Most leases hold neighbours.
public struct MaskRanges: Sendable, Equatable, CustomStringConvertible {
    /// The ranges of mask indices, in the order given.
    public let ranges: [ClosedRange<Int>]

    /// Joins neighbours into ranges.
    public init(_ masks: some Sequence<Int>) {
        var ranges: [ClosedRange<Int>] = []
        for mask in masks {
            if let last = ranges.last, last.upperBound + 1 == mask {
                ranges[ranges.count - 1] = last.lowerBound...mask
            } else {
                ranges.append(mask...mask)
            }
        }
        self.ranges = ranges
    }

    /// Reads what ``description`` writes, or returns nil; also for indices that no ensemble has.
    public init?(_ text: String) {
        var ranges: [ClosedRange<Int>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard (1...2).contains(bounds.count), let low = bounds[0], let high = bounds[bounds.count - 1], low <= high,
                high < Wire.masksMax
            else { return nil }
            ranges.append(low...high)
        }
        self.ranges = ranges
    }

    /// How many masks.
    public var count: Int { ranges.reduce(0) { $0 + $1.count } }

    public var description: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
