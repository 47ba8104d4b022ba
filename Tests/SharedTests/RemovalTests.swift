import TestSupport
import Testing

@testable import Shared

extension ChannelClasses {
    /// The filters that can only go together.
    fileprivate var coupled: [[Int]] { classes.filter { $0.count > 1 } }
}

struct RemovalTests {
    private static let residual = Graph.residual(widths: [4, 6, 8], blocksPerStage: 2)
    private static let connected = Graph.fullyConnected(widths: [48, 12, 9, 5])

    private func images(_ architecture: Graph, count: Int, _ generator: inout SeededGenerator) -> [[Double]] {
        let size = architecture.imageShape.count
        return (0..<count).map { _ in (0..<size).map { _ in Double.random(in: -2...2, using: &generator) } }
    }

    private func expectTheSame(_ network: Network, _ mask: Mask, _ generator: inout SeededGenerator) throws {
        let inputs = images(network.graph, count: 3, &generator)
        let compact = try network.removing(mask)
        for statistics in [ReferenceForward.Statistics.running, .ofTheseImages] {
            let masked = ReferenceForward(network, mask: mask, statistics: statistics).outputs(inputs)
            let removed = ReferenceForward(compact, statistics: statistics).outputs(inputs)
            for (a, b) in zip(masked.joined(), removed.joined()) { #expect(abs(a - b) <= 1e-9 * (1 + abs(a))) }
        }
    }

    @Test(arguments: [0.1, 0.3, 0.6, 0.9])
    func aMaskedNetworkAndWhatIsLeftComputeTheSame(rate: Double) throws {
        var generator = SeededGenerator(seed: 1)
        for architecture in [Self.residual, Self.connected] {
            for _ in 0..<4 {
                let network = Network.random(architecture, using: &generator)
                let count = FilterSpace(architecture).count
                try expectTheSame(network, .random(count: count, rate: rate, using: &generator), &generator)
            }
        }
    }

    @Test func fewerFiltersCanBecomeFewerAgain() throws {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(Self.residual, using: &generator)
        let first = Mask.random(count: FilterSpace(Self.residual).count, rate: 0.3, using: &generator)
        let smaller = try network.removing(first)
        let second = Mask.random(count: FilterSpace(smaller.graph).count, rate: 0.3, using: &generator)
        try expectTheSame(smaller, second, &generator)
    }

    @Test func hiddenFiltersLeaveNothingBehind() throws {
        let space = FilterSpace(Self.residual)
        let layer = try #require(space.layer(named: "layer2.0.conv1"))
        let mask = Mask(count: space.count, disabled: [layer.filters.lowerBound + 1, layer.filters.lowerBound + 4])
        var generator = SeededGenerator(seed: 3)
        let smaller = try Network.random(Self.residual, using: &generator).removing(mask)
        #expect(smaller["layer2.0.conv1.weight"].shape == [4, 4, 3, 3])
        #expect(smaller["layer2.0.bn1.running_var"].shape == [4])
        #expect(smaller["layer2.0.conv2.weight"].shape == [6, 4, 3, 3])
        #expect(smaller["layer2.1.conv1.weight"].shape == [6, 6, 3, 3])
        let silent = try Removal(Self.residual, removing: mask).silent.flatMap { $0 }
        #expect(silent.isEmpty)
    }

    @Test func aCoupledGroupLeavesEveryLayerOfItsStream() throws {
        let space = FilterSpace(Self.residual)
        let group = try #require(ChannelClasses(Self.residual).coupled.first { $0.first == 2 })
        let mask = Mask(count: space.count, disabled: group)
        var generator = SeededGenerator(seed: 4)
        let network = Network.random(Self.residual, using: &generator)
        try expectTheSame(network, mask, &generator)
        let smaller = try network.removing(mask)
        #expect(smaller["conv1.weight"].shape == [3, 3, 3, 3])
        #expect(smaller["layer1.1.conv2.weight"].shape == [3, 4, 3, 3])
        #expect(smaller["layer2.0.conv1.weight"].shape == [6, 3, 3, 3])
        #expect(smaller["layer3.1.conv2.weight"].shape == [7, 8, 3, 3])
        #expect(smaller["linear.weight"].shape == [10, 7])
        let silent = try Removal(Self.residual, removing: mask).silent.flatMap { $0 }
        #expect(silent.isEmpty)
        #expect(smaller.graph.node(named: "layer2.0.add.select")?.operation == .select([nil, 0, 1, 2, nil]))
    }

    @Test func aDisabledChannelThatCarriesItsShortcutStaysSilent() throws {
        let space = FilterSpace(Self.residual)
        let layer = try #require(space.layer(named: "layer1.0.conv2"))
        let mask = Mask(count: space.count, disabled: [layer.filters.lowerBound + 3])
        var generator = SeededGenerator(seed: 5)
        let network = Network.random(Self.residual, using: &generator)
        try expectTheSame(network, mask, &generator)
        let smaller = try network.removing(mask)
        #expect(smaller.graph == Self.residual)
        #expect(smaller["layer1.0.bn2.weight"].values[3] == 0)
        #expect(smaller["layer1.0.bn2.bias"].values[3] == 0)
    }

    @Test func aLayerThatLosesAllItsFiltersKeepsOneSilent() throws {
        var generator = SeededGenerator(seed: 6)
        for architecture in [Self.residual, Self.connected] {
            let space = FilterSpace(architecture)
            let network = Network.random(architecture, using: &generator)
            for layer in space.layers {
                let mask = Mask(count: space.count, disabled: layer.filters)
                try expectTheSame(network, mask, &generator)
                let fewest = try Removal(architecture, removing: mask).kept.map(\.count).min() ?? 0
                #expect(layer.role == .hidden ? fewest == 1 : fewest >= 1)
            }
            try expectTheSame(network, Mask(count: space.count, disabled: 0..<space.count), &generator)
        }
    }

    @Test func nothingRemovedIsTheSameNetwork() throws {
        var generator = SeededGenerator(seed: 7)
        let network = Network.random(Self.residual, using: &generator)
        #expect(try network.removing(Mask(count: FilterSpace(Self.residual).count)) == network)
    }

    @Test func publishedShortcutsCoupleOneGroupForEveryChannelOfTheLastStage() {
        let groups = ChannelClasses(Self.residual).coupled
        #expect(groups.count == 8)
        // Stage 3's channels 0 and 7 are its own, 1 and 6 begin in stage 2, 2…5 in the stem.
        let sizes = groups.map(\.count).sorted()
        #expect(sizes == [2, 2, 4, 4, 7, 7, 7, 7])
        let space = FilterSpace(Self.residual)
        let streams = space.layers.filter { $0.role != .hidden }.flatMap { Array($0.filters) }
        let grouped = groups.flatMap { $0 }.sorted()
        #expect(grouped == streams)
    }
}
