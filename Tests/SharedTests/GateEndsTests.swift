import TestSupport
import Testing

@testable import Shared

/// Where gates on filters are.
struct GateEndsTests {
    @Test(arguments: 0..<40 as Range<UInt64>)
    func aGateThatIsZeroDisablesTheFilter(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let graph = try RandomGraphs.graph(seed: seed)
        let network = Network.random(graph, using: &generator)
        let inputs = (0..<2).map { _ in
            (0..<graph.imageShape.count).map { _ in Double.random(in: -2...2, using: &generator) }
        }
        let count = FilterSpace(graph).count
        for filter in 0..<count where filter % 3 == 0 {
            let masked = ReferenceForward(network, mask: Mask(count: count, disabled: [filter])).outputs(inputs)
            let gated = ReferenceForward(network, gate: .init(filter: filter, factor: 0)).outputs(inputs)
            for (a, b) in zip(masked.joined(), gated.joined()) {
                #expect(abs(a - b) <= 1e-9 * max(1, abs(a)), "filter \(filter)")
            }
        }
    }
}
