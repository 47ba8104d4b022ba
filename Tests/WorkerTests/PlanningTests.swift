import Shared
import TestSupport
import Testing

@testable import Worker

/// Decisions made before anything is computed.
struct PlanningTests {
    @Test func piecesOfAnArenaNeverOverlapAndAreUsedAgain() {
        var generator = SeededGenerator(seed: 1)
        var plan = ArenaPlan()
        var taken: [Range<Int>] = []
        for _ in 0..<2000 {
            if taken.count < 20, Bool.random(using: &generator) || taken.isEmpty {
                let count = Int.random(in: 1...500, using: &generator)
                let piece = plan.take(count)
                #expect(piece.count >= count && piece.upperBound <= plan.lines)
                #expect(piece.lowerBound % ArenaPlan.alignment == 0)
                #expect(!taken.contains { $0.overlaps(piece) })
                taken.append(piece)
            } else {
                plan.release(taken.remove(at: Int.random(in: taken.indices, using: &generator)))
            }
        }
        for piece in taken { plan.release(piece) }
        let whole = plan.lines
        #expect(whole <= 20 * 512 * 3)
        #expect(plan.take(whole) == 0..<whole)
    }

    @Test func masksShareANodeAsLongAsTheyAgree() {
        let architecture = Graph.residual(widths: [4, 4], blocksPerStage: 1, imageSize: 32)
        let space = FilterSpace(architecture)
        func mask(_ disabled: Int...) -> Mask { Mask(count: space.count, disabled: disabled) }
        // Layers: the stem 0..<4, then 4..<8, 8..<12, 12..<16, 16..<20.
        let tree = PrefixTree(
            [mask(5, 13), mask(5, 14), mask(6), mask(5, 13), mask(1)], of: space,
            cuts: Stages(architecture).layersByCut)
        let root = tree.root
        #expect(root.children.count == 2)
        let unmasked = root.children[0]
        #expect(tree.filters(0, at: unmasked) == [0, 1, 2, 3])
        #expect(tree.union(1, under: unmasked) == [0, 1, 2, 3])
        #expect(unmasked.children.count == 2)
        let shared = unmasked.children[0]
        #expect(tree.filters(1, at: shared) == [0, 2, 3])
        #expect(shared.children.map(\.masks) == [[0, 3], [1]])
        #expect(tree.union(3, under: shared) == [0, 1, 2, 3])
        #expect(unmasked.children[1].children.map(\.masks) == [[2]])
        #expect(root.children[1].children[0].children.map(\.masks) == [[4]])
    }
}
