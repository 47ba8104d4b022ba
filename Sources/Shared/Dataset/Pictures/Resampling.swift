/// One axis of a bilinear scaling with antialiasing: for each target place, the source places and weights of its mean.
/// If the picture shrinks, the triangle of weights widens with it, so every source pixel counts, as in Pillow's and
/// torchvision's `resize`.
struct Resampling {
    /// Fractional bits of a weight. Sums of 255 times weights that add up to one stay below 2^31.
    static let weightBits = 22

    /// Where each target place starts reading.
    let starts: [Int]
    /// How many places each reads.
    let counts: [Int]
    /// The weights, ``most`` per target place.
    let weights: [Int32]
    /// The most places that one reads.
    let most: Int

    /// Scales `source` places to `target`, of which the places `range` are wanted.
    init(source: Int, target: Int, range: Range<Int>) {
        let scale = Double(source) / Double(target)
        let reach = max(scale, 1)
        most = 2 * Int(reach.rounded(.up)) + 1
        var starts: [Int] = []
        var counts: [Int] = []
        var weights = [Int32](repeating: 0, count: range.count * most)
        for (index, place) in range.enumerated() {
            let centre = (Double(place) + 0.5) * scale
            let first = max(0, Int(centre - reach + 0.5))
            let last = min(source, Int(centre + reach + 0.5))
            let triangle = (first..<last).map { max(0, 1 - abs((Double($0) - centre + 0.5) / reach)) }
            let total = triangle.reduce(0, +)
            for (offset, weight) in triangle.enumerated() {
                weights[index * most + offset] = Int32((weight / total * Double(1 << Self.weightBits)).rounded())
            }
            starts.append(first)
            counts.append(last - first)
        }
        self.starts = starts
        self.counts = counts
        self.weights = weights
    }

    /// The range of source places read.
    var sourceRange: Range<Int> {
        let end = zip(starts, counts).map { $0 + $1 }.max() ?? 0
        return min(starts.min() ?? 0, end)..<end
    }
}
