import Shared

/// An ensemble's masks by index, drawn in blocks and kept for a while: leases go through the ensemble in order, and
/// neighbours are drawn much faster together than one by one.
struct MaskSource {
    /// Masks drawn together.
    private static let blockMasks = 256
    /// Bytes of masks that are kept.
    private static let keptBytesMax = 64 << 20

    private let ensemble: Ensemble
    private let blocksMax: Int
    private var blocks: [Int: [Mask]] = [:]
    /// The blocks that are kept, the oldest first.
    private var order: [Int] = []

    /// The masks of an ensemble.
    init(_ ensemble: Ensemble) {
        self.ensemble = ensemble
        let blockBytes = Self.blockMasks * (64 + (ensemble.filterCount + 7) / 8)
        blocksMax = max(2, Self.keptBytesMax / blockBytes)
    }

    /// The masks of some indices.
    mutating func masks(_ indices: MaskRuns) -> [IndexedMask] {
        indices.map { IndexedMask(index: $0, mask: block($0 / Self.blockMasks)[$0 % Self.blockMasks]) }
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
