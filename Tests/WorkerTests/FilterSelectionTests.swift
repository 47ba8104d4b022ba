import Shared
import TestSupport
import Testing

@testable import Worker

/// Choosing the filters that a layer can best do without.
struct FilterSelectionTests {
    private static let residual = Graph.residual(
        widths: [6, 8, 12], blocksPerStage: 2, imageSize: 32)

    private func selection(_ network: Network, _ mask: Mask, _ images: ImageSet) throws -> Mask {
        try FilterSelection(network, asManyAs: mask, images: FittingImages(images, for: network)).choice().mask
    }

    @Test func aNeuronThatOthersRepeatIsChosen() throws {
        var generator = SeededGenerator(seed: 2)
        let architecture = Graph.fullyConnected(widths: [
            CIFAR10.layout.imageBytes, 6, 5, CIFAR10.layout.classes,
        ])
        let first = FilterSpace(architecture).layers[0].name
        let network = Network.random(architecture, using: &generator).combining(first, [5: [(2, 1)]])
        let images = ImageSet.random(60, using: &generator)
        // Neurons 2 and 5 are duplicates; the mask asks for any one.
        let chosen = try selection(network, Mask(count: 11, disabled: [0]), images)
        #expect(chosen.disabled == [2] || chosen.disabled == [5])
    }

    @Test func asManyOfEachLayerAreChosenAndTheStreamStays() throws {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(Self.residual, using: &generator)
        let space = FilterSpace(Self.residual)
        let images = ImageSet.random(30, using: &generator)
        for rate in [0.3, 0.7] {
            let asked = Mask.random(count: space.count, rate: rate, using: &generator)
            let chosen = try selection(network, asked, images)
            for layer in space.layers {
                #expect(layer.filters.count { chosen[$0] } == layer.filters.count { asked[$0] })
                guard layer.role != .hidden else { continue }
                #expect(layer.filters.allSatisfy { chosen[$0] == asked[$0] })
            }
        }
    }

    @Test func whatIsChosenIsMadeUpForBetterThanOthers() throws {
        var generator = SeededGenerator(seed: 4)
        let network = Network.random(Self.residual, using: &generator)
        let space = FilterSpace(Self.residual)
        let images = ImageSet.random(40, using: &generator)
        func distance(_ mask: Mask) throws -> Double {
            try network.reconstructed(removing: mask, on: images).distance(from: network, on: images)
        }
        for _ in 0..<3 {
            let filters = space.layers.filter { $0.role == .hidden }.flatMap { layer in
                layer.filters.shuffled(using: &generator).prefix(layer.filters.count / 2)
            }
            let asked = Mask(count: space.count, disabled: filters)
            #expect(try distance(selection(network, asked, images)) < distance(asked))
        }
    }

    // MARK: Any graph

    @Test func asManyFiltersOfEveryLayerAreChosenInAnyGraph() throws {
        var (changed, same) = (0, 0)
        for seed in 0..<40 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let graph = try RandomGraphs.graph(seed: seed)
            let network = Network.random(graph, using: &generator)
            let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes, pixelType: .float32)
            let images = ImageSet.random(20, layout: layout, using: &generator)
            let space = FilterSpace(graph)
            let asked = Mask.random(count: space.count, rate: 0.4, using: &generator)
            let chosen = try selection(network, asked, images)
            changed += chosen == asked ? 0 : 1
            for layer in space.layers {
                #expect(layer.filters.count { chosen[$0] } == layer.filters.count { asked[$0] }, "seed \(seed)")
                guard layer.role != .hidden else { continue }
                #expect(layer.filters.allSatisfy { chosen[$0] == asked[$0] }, "seed \(seed)")
            }
            // Fewer equations at a time, in several passes.
            let little = try FittingImages(images, for: network, threads: 1, memoryBytesMax: 4 << 20)
            let choice = try FilterSelection(network, asManyAs: asked, images: little).choice()
            guard choice.skipped.isEmpty else { continue }
            same += 1
            #expect(choice.mask == chosen, "seed \(seed)")
        }
        #expect(changed > 10 && same > 10)
    }

    /// Two layers side by side; the first one's filters pass a depthwise convolution.
    private func joined() throws -> Graph {
        var builder = try GraphBuilder(image: Shape(channels: 3, height: 10, width: 8))
        func convolution(_ filters: Int, groups: Int = 1) -> Graph.Operation {
            .convolution(
                .init(filters: filters, kernel: .init(3), padding: .init(1), groups: groups, hasBias: groups == 1))
        }
        let first = try builder.add("first", convolution(6), 0)
        let depthwise = try builder.add("depthwise", convolution(6, groups: 6), first)
        let second = try builder.add("second", convolution(4), 0)
        var node = try builder.add("joined", .concatenate, [second, depthwise])
        node = try builder.add("third", convolution(5), node)
        node = try builder.add("mean", .adaptiveAverage(.one), node)
        node = try builder.add("flat", .flatten, node)
        node = try builder.add("last", .linear(.init(outputs: 4)), node)
        return try builder.graph(output: node)
    }

    @Test func aFilterThatIsNothingToItsReadersIsChosen() throws {
        var generator = SeededGenerator(seed: 5)
        let graph = try joined()
        let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes, pixelType: .float32)
        let images = ImageSet.random(20, layout: layout, using: &generator)
        let random = Network.random(graph, using: &generator)
        var parameters = random.parameters
        // The third layer reads the second's four channels and then the first's six, through the depthwise one, but
        // ignores number 4 of these.
        var weight = random["third.weight"].values
        for filter in 0..<5 {
            for tap in 0..<9 { weight[(filter * 10 + 4 + 4) * 9 + tap] = 0 }
        }
        parameters["third.weight"] = Tensor(shape: random["third.weight"].shape, values: weight)
        let network = Network(graph: graph, parameters: parameters)
        let space = FilterSpace(graph)
        let asked = Mask(count: space.count, disabled: [0])
        #expect(try selection(network, asked, images).disabled == [4])
        // With one filter of each layer: the second's one is its own question.
        let both = try selection(network, Mask(count: space.count, disabled: [0, 6]), images)
        #expect(both[4])
        #expect((6..<10).count { both[$0] } == 1)
    }

    @Test func aReaderThatIsTooWideKeepsTheMasksChoice() throws {
        var generator = SeededGenerator(seed: 6)
        // The second layer reads 900 values: 6 MB of equations.
        var builder = try GraphBuilder(image: Shape(channels: 3, height: 10, width: 10))
        var node = try builder.add("first", .convolution(.init(filters: 9, kernel: .one)), 0)
        node = try builder.add("flat", .flatten, node)
        node = try builder.add("second", .linear(.init(outputs: 6)), node)
        node = try builder.add("last", .linear(.init(outputs: 4)), node)
        let graph = try builder.graph(output: node)
        let network = Network.random(graph, using: &generator)
        let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes, pixelType: .float32)
        let images = try FittingImages(
            ImageSet.random(20, layout: layout, using: &generator), for: network, memoryBytesMax: 8 << 20)
        let asked = Mask(count: FilterSpace(graph).count, disabled: [0, 1, 9])
        let choice = try FilterSelection(network, asManyAs: asked, images: images).choice()
        #expect(choice.mask.disabled.prefix(2) == [0, 1])
        #expect(choice.skipped.map(\.layer) == ["first"])
        #expect(choice.skipped.map(\.reader) == ["second"])
    }
}
