import Shared

/// Masks in the run file's form: `0-15,32,40-41`. Most leases hold neighbours.
extension MaskRuns {
    /// The text.
    public var stored: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound - 1)" }
            .joined(separator: ",")
    }

    /// Parses the output of ``stored``, or returns nil; also for indices that no ensemble has.
    public init?(stored text: String) {
        self.init()
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard (1...2).contains(bounds.count), let low = bounds[0], let high = bounds[bounds.count - 1], low <= high,
                high < Wire.masksMax, low >= ranges.last?.upperBound ?? 0
            else { return nil }
            append(low..<high + 1)
        }
    }
}
