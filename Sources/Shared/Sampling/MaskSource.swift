/// An ensemble's masks by index, drawn in blocks and cached: leases go through the ensemble in order, and neighbours
/// are drawn much faster together than one by one.
public struct MaskSource: Sendable {
    /// Masks drawn together.
    private static let blockMasks = 256
    /// Bytes of cached masks: the blocks that about a hundred workers use. It fills during a run.
    static let keptBytesMax = 8 << 20

    private let ensemble: Ensemble
    private let blocksMax: Int
    /// Bytes of one mask, about.
    private let maskBytes: Int
    private var blocks: [Int: [Mask]] = [:]
    /// The cached blocks, oldest first.
    private var order: [Int] = []

    /// The masks of an ensemble.
    public init(_ ensemble: Ensemble) {
        self.ensemble = ensemble
        maskBytes = 64 + (ensemble.filterCount + 7) / 8
        blocksMax = max(2, Self.keptBytesMax / (Self.blockMasks * maskBytes))
    }

    /// Approximate bytes of the cached masks.
    var keptBytes: Int { blocks.values.reduce(0) { $0 + $1.count * maskBytes } }

    /// The masks of some indices.
    public mutating func masks(_ indices: MaskRuns) -> [Mask] {
        indices.map { block($0 / Self.blockMasks)[$0 % Self.blockMasks] }
    }

    private mutating func block(_ number: Int) -> [Mask] {
        if let kept = blocks[number] { return kept }
        let start = number * Self.blockMasks
        let drawn = ensemble.masks(start..<min(start + Self.blockMasks, ensemble.count))
        if order.count >= blocksMax { blocks[order.removeFirst()] = nil }
        order.append(number)
        blocks[number] = drawn
        return drawn
    }
}
