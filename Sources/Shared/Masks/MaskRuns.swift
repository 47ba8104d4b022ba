/// Indices of masks, ascending, as runs of neighbours.
public struct MaskRuns: Sendable, Equatable, Sequence, CustomStringConvertible {
    /// The runs, ascending, not empty, not touching.
    public private(set) var ranges: [Range<Int>] = []
    /// How many indices.
    public private(set) var count = 0

    /// None.
    public init() {}

    /// Ascending indices.
    public init(_ indices: some Sequence<Int>) { for index in indices { append(index) } }

    /// Whether there is none.
    public var isEmpty: Bool { count == 0 }

    /// Appends an index above all others. O(1).
    public mutating func append(_ index: Int) { append(index..<index + 1) }

    /// Appends indices above all others. O(1).
    public mutating func append(_ run: Range<Int>) {
        guard !run.isEmpty else { return }
        count += run.count
        if let last = ranges.last {
            precondition(last.upperBound <= run.lowerBound, "indices ascend")
            if last.upperBound == run.lowerBound {
                ranges[ranges.count - 1] = last.lowerBound..<run.upperBound
                return
            }
        }
        ranges.append(run)
    }

    /// Whether an index is among them. O(log runs).
    public func contains(_ index: Int) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= index { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(index)
    }

    /// The indices, ascending.
    public func makeIterator() -> FlattenSequence<[Range<Int>]>.Iterator { ranges.joined().makeIterator() }

    /// For people: `0…63, 70`.
    public var description: String {
        let shown = ranges.prefix(8).map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)…\($0.upperBound - 1)"
        }
        return shown.joined(separator: ", ") + (ranges.count > 8 ? ", …" : "")
    }
}
