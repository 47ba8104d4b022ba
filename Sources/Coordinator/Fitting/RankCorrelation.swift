/// Agreement of two orders of the same things.
public enum RankCorrelation {
    /// Spearman's ρ: the correlation of the ranks, with mean ranks for ties; nil if one side is constant or there are
    /// fewer than two values. O(n log n).
    public static func spearman(_ a: [Double], _ b: [Double]) -> Double? {
        precondition(a.count == b.count, "as many values on both sides")
        return pearson(ranks(of: a), ranks(of: b))
    }

    /// Kendall's τ-b, which allows for ties; nil if one side is constant. O(n log n) (Knight, 1966).
    public static func kendall(_ a: [Double], _ b: [Double]) -> Double? {
        precondition(a.count == b.count, "as many values on both sides")
        let order = a.indices.sorted { (a[$0], b[$0]) < (a[$1], b[$1]) }
        func pairs(_ count: Int) -> Int { count * (count - 1) / 2 }
        func tiedPairs(_ same: (Int, Int) -> Bool, in order: [Int]) -> Int {
            var result = 0
            var run = 1
            for position in order.indices.dropFirst() {
                if same(order[position - 1], order[position]) {
                    run += 1
                } else {
                    result += pairs(run)
                    run = 1
                }
            }
            return result + pairs(run)
        }
        guard a.count > 1 else { return nil }
        let tiedA = tiedPairs({ a[$0] == a[$1] }, in: order)
        let tiedBoth = tiedPairs({ a[$0] == a[$1] && b[$0] == b[$1] }, in: order)
        var sorted = order.map { b[$0] }
        let discordant = sortCountingInversions(&sorted)
        let tiedB = tiedPairs({ sorted[$0] == sorted[$1] }, in: Array(sorted.indices))
        let all = pairs(a.count)
        let difference = Double(all - tiedA - tiedB + tiedBoth - 2 * discordant)
        let scale = (Double(all - tiedA) * Double(all - tiedB)).squareRoot()
        return scale > 0 ? difference / scale : nil
    }

    /// Ranks from 1; equal values share the mean of theirs.
    static func ranks(of values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            for position in start..<end { ranks[order[position]] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }

    /// Pearson's r; nil if one side is constant.
    static func pearson(_ a: [Double], _ b: [Double]) -> Double? {
        let n = Double(a.count)
        guard n > 1 else { return nil }
        let meanA = a.reduce(0, +) / n
        let meanB = b.reduce(0, +) / n
        var ab = 0.0
        var aa = 0.0
        var bb = 0.0
        for (x, y) in zip(a, b) {
            ab += (x - meanA) * (y - meanB)
            aa += (x - meanA) * (x - meanA)
            bb += (y - meanB) * (y - meanB)
        }
        return aa > 0 && bb > 0 ? ab / (aa * bb).squareRoot() : nil
    }

    private static func sortCountingInversions(_ values: inout [Double]) -> Int {
        guard values.count > 1 else { return 0 }
        let middle = values.count / 2
        var left = Array(values[..<middle])
        var right = Array(values[middle...])
        var inversions = sortCountingInversions(&left) + sortCountingInversions(&right)
        var i = 0
        var j = 0
        for position in values.indices {
            if j == right.count || i < left.count && left[i] <= right[j] {
                values[position] = left[i]
                i += 1
            } else {
                values[position] = right[j]
                inversions += left.count - i
                j += 1
            }
        }
        return inversions
    }
}
