import Shared
import TestSupport
import Testing

@testable import Coordinator

struct RemovalSpaceTests {
    private func all(_ architecture: Graph) -> Mask {
        let count = FilterSpace(architecture).count
        return Mask(count: count, disabled: 0..<count)
    }

    private func hidden(_ architecture: Graph) -> Mask {
        let space = FilterSpace(architecture)
        return Mask(count: space.count, disabled: space.layers.filter { $0.role == .hidden }.flatMap(\.filters))
    }

    /// Counts a network's cost from the shapes of its tensors alone.
    private func recount(_ network: Network) -> RemainingCost {
        var cost = RemainingCost()
        var size = 8
        for (name, tensor) in network.parameters.sorted(by: { $0.key < $1.key })
        where !name.contains("running") {
            cost.parameters += tensor.values.count
            guard tensor.shape.count > 1 else { continue }
            if tensor.shape.count == 4 {
                size = name.hasPrefix("layer2") ? 4 : name.hasPrefix("layer3") ? 2 : 8
                cost.multiplyAccumulates += tensor.values.count * size * size
            } else {
                cost.multiplyAccumulates += tensor.values.count
            }
        }
        return cost
    }

    @Test func theCostOfWhatRemainsIsTheCompactedNetworksOwn() throws {
        var generator = SeededGenerator(seed: 1)
        for architecture in [
            Graph.residual(widths: [4, 6, 8], blocksPerStage: 2), .fullyConnected(widths: [48, 12, 9, 5]),
        ] {
            let network = Network.random(architecture, using: &generator)
            let space = RemovalSpace(architecture, removable: all(architecture))
            for _ in 0..<20 {
                let removed = space.dimensions.map { Int.random(in: 0..<$0.units.count, using: &generator) }
                let units = zip(space.dimensions, removed).flatMap { dimension, count in
                    dimension.units.shuffled(using: &generator).prefix(count).flatMap { $0 }
                }
                let mask = Mask(count: FilterSpace(architecture).count, disabled: units)
                #expect(try space.cost(removed: removed) == recount(network.removing(mask)))
            }
        }
    }

    @Test func publishedNetworksCostWhatThePapersSay() {
        let resnet20 = Graph.residual(widths: [16, 32, 64], blocksPerStage: 3, imageSize: 32)
        let space = RemovalSpace(resnet20, removable: hidden(resnet20))
        let cost = space.cost(removed: space.dimensions.map { _ in 0 })
        #expect(cost == RemainingCost(multiplyAccumulates: 40_551_040, parameters: 269_722))
        #expect(space.filters == 336)
        #expect(space.dimensions.count == 9)
    }

    @Test func streamsFormOneDimensionForEachStageInWhichTheyBegin() {
        let resnet20 = Graph.residual(widths: [16, 32, 64], blocksPerStage: 3, imageSize: 32)
        let space = RemovalSpace(resnet20, removable: all(resnet20))
        let streams = space.dimensions.filter { $0.filtersPerUnit > 1 }
        let sizes = streams.map { [$0.units.count, $0.filtersPerUnit] }
        #expect(sizes == [[16, 10], [16, 6], [32, 3]])
        #expect(space.filters == FilterSpace(resnet20).count)
    }

    @Test func aCoupledGroupOfWhichAFilterMayNotGoStays() {
        let architecture = Graph.residual(widths: [4, 6], blocksPerStage: 1)
        var removable = all(architecture)
        removable[0] = false
        let space = RemovalSpace(architecture, removable: removable)
        let stem = space.dimensions.filter { $0.name.hasPrefix("conv1+") }.flatMap(\.units)
        #expect(stem.count == 3)
    }
}
