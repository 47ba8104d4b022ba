import Shared
import TestSupport
import Testing

@testable import Worker

/// Refitting the layers after removed filters.
struct ReconstructionTests {
    private static let residual = Graph.residual(
        widths: [6, 8, 12], blocksPerStage: 2, imageSize: 32)

    private func hidden(_ graph: Graph, rate: Double, _ generator: inout SeededGenerator) -> Mask {
        let space = FilterSpace(graph)
        let filters = space.layers.filter { $0.role == .hidden }.flatMap { layer in
            layer.filters.shuffled(using: &generator).prefix(Int(Double(layer.filters.count) * rate))
        }
        return Mask(count: space.count, disabled: filters)
    }

    // MARK: Any graph

    private static let image = Shape(channels: 3, height: 10, width: 8)

    private func randomImages(_ count: Int, _ graph: Graph, _ generator: inout SeededGenerator) -> ImageSet {
        let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes, pixelType: .float32)
        return ImageSet.random(count, layout: layout, using: &generator)
    }

    /// A smaller network's squared error on a node's values.
    private func missed(
        _ name: String, _ smaller: Network, of original: Network, _ removal: Removal, _ wanted: [[Double]?],
        _ inputs: [[Double]]
    ) throws -> Double {
        let node = try #require(original.graph.nodes.firstIndex { $0.name == name })
        let place = try #require(smaller.graph.nodes.firstIndex { $0.name == name })
        let values = ReferenceForward(smaller).values(inputs)[place]
        var sum = 0.0
        for (index, channel) in removal.kept[node].enumerated() where !removal.silent[node].contains(channel) {
            for (a, b) in zip(try #require(values[index]), try #require(wanted[channel])) { sum += (a - b) * (a - b) }
        }
        return sum
    }

    @Test func noRefitMakesItsLayerMissMoreOnItsImages() throws {
        var steps = 0
        for seed in 0..<40 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let graph = try RandomGraphs.graph(seed: seed, image: Self.image)
            let network = Network.random(graph, using: &generator)
            let images = randomImages(20, graph, &generator)
            let inputs = images.inputs(.standard)
            let wanted = ReferenceForward(network).values(inputs)
            for rate in [0.2, 0.6] {
                let mask = Mask.random(count: FilterSpace(graph).count, rate: rate, using: &generator)
                let removal = try Removal(graph, removing: mask)
                var before = try network.removing(mask)
                let reconstruction = try Reconstruction(
                    network, removing: mask, images: FittingImages(images, for: network))
                _ = try reconstruction.network { step in
                    steps += 1
                    let node = graph.nodes.firstIndex { $0.name == step.target } ?? 0
                    // A sum may hold channels that the layer does not make; they stay unchanged.
                    guard let old = try? missed(step.target, before, of: network, removal, wanted[node], inputs),
                        let new = try? missed(step.target, step.network, of: network, removal, wanted[node], inputs)
                    else {
                        Issue.record("seed \(seed): no \(step.target)")
                        return
                    }
                    let noise = 1e-4 * (old + wanted[node].reduce(0) { $0 + ($1?.reduce(0) { $0 + $1 * $1 } ?? 0) })
                    #expect(new <= old + noise, "seed \(seed), \(step.layer): \(new), not below \(old)")
                    #expect(step.missed <= step.missedBefore + noise, "seed \(seed), \(step.layer)")
                    #expect(
                        abs((step.missedBefore - step.missed) - (old - new)) <= noise,
                        "seed \(seed), \(step.layer): \(step.missedBefore) - \(step.missed), not \(old) - \(new)")
                    before = step.network
                }
            }
        }
        #expect(steps > 150)
    }

    @Test func silentFiltersStaySilent() throws {
        var silent = 0
        for seed in 50..<80 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let graph = try RandomGraphs.graph(seed: seed, image: Self.image)
            let network = Network.random(graph, using: &generator)
            let images = randomImages(8, graph, &generator)
            var mask = Mask.random(count: FilterSpace(graph).count, rate: 0.5, using: &generator)
            for filter in FilterSpace(graph).layers.first?.filters ?? 0..<0 { mask[filter] = true }
            let removal = try Removal(graph, removing: mask)
            let fitted = try network.reconstructed(removing: mask, on: images)
            for index in graph.nodes.indices where graph.isLayer(index) && !removal.silent[index].isEmpty {
                let name = graph.nodes[index].name
                guard let weight = fitted.parameters["\(name).weight"] else { continue }
                let size = weight.values.count / weight.shape[0]
                for (place, channel) in removal.kept[index].enumerated() where removal.silent[index].contains(channel) {
                    silent += 1
                    #expect(weight.values[place * size..<(place + 1) * size].allSatisfy { $0 == 0 })
                    #expect(fitted.parameters["\(name).bias"]?.values[place] ?? 0 == 0)
                }
            }
        }
        #expect(silent > 20)
    }

    @Test func aMaskThatRemovesNothingChangesNothing() throws {
        for seed in 80..<90 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let graph = try RandomGraphs.graph(seed: seed, image: Self.image)
            let network = Network.random(graph, using: &generator)
            let images = randomImages(4, graph, &generator)
            let none = Mask(count: FilterSpace(graph).count)
            let same = try network.reconstructed(removing: none, on: images)
            // Channels that nothing reads are removed all the same.
            let isSame = try same == network.removing(none)
            #expect(isSame, "seed \(seed)")
        }
    }

    @Test func neitherThreadsNorMemoryChangeABit() throws {
        var generator = SeededGenerator(seed: 6)
        let network = Network.random(Self.residual, using: &generator)
        let mask = Mask.random(count: FilterSpace(Self.residual).count, rate: 0.4, using: &generator)
        let images = ImageSet.random(60, using: &generator)
        // The least memory suffices for nothing to be kept between two layers.
        let fitted = try [(1, 1 << 30), (3, 1 << 30), (2, 16 << 20)].map { threads, memory in
            try Reconstruction(
                network, removing: mask,
                images: FittingImages(images, for: network, threads: threads, memoryBytesMax: memory)
            ).network()
        }
        #expect(fitted[0] == fitted[1])
        #expect(fitted[0] == fitted[2])
    }

    @Test func tooLittleMemoryIsRefused() throws {
        var generator = SeededGenerator(seed: 7)
        let network = Network.random(Self.residual, using: &generator)
        let mask = hidden(Self.residual, rate: 0.5, &generator)
        let images = try FittingImages(
            ImageSet.random(4, using: &generator), for: network, memoryBytesMax: 1 << 20)
        let failure = #expect(throws: Failure.self) {
            try Reconstruction(network, removing: mask, images: images).network()
        }
        #expect(failure?.kind == .unavailable)
    }

    // MARK: What is lost without loss

    /// The operations between a layer, some of whose filters are sums of others, and the outputs.
    enum Reader: CaseIterable {
        case plain, strided, dilated, grouped, concatenation, averagePool, maxPool, flatten, shuffled
    }

    private func graph(_ reader: Reader) throws -> Graph {
        var builder = try GraphBuilder(image: Shape(channels: 3, height: 12, width: 10))
        func convolution(
            _ filters: Int, _ kernel: Int, stride: Int = 1, dilation: Int = 1, groups: Int = 1
        ) -> Graph.Operation {
            .convolution(
                .init(
                    filters: filters, kernel: .init(kernel), stride: .init(stride),
                    padding: .init(dilation * (kernel / 2)), dilation: .init(dilation), groups: groups, hasBias: true))
        }
        var node = try builder.add("first", convolution(8, 3), 0)
        switch reader {
        case .plain: node = try builder.add("second", convolution(6, 3), node)
        case .strided: node = try builder.add("second", convolution(6, 5, stride: 2), node)
        case .dilated: node = try builder.add("second", convolution(6, 3, dilation: 2), node)
        case .grouped: node = try builder.add("second", convolution(6, 3, groups: 2), node)
        case .concatenation:
            let other = try builder.add("other", convolution(3, 1), 0)
            node = try builder.add("joined", .concatenate, [other, node])
            node = try builder.add("second", convolution(6, 3), node)
        case .averagePool:
            node = try builder.add("pool", .pool(.init(.average, kernel: .init(2), stride: .init(2))), node)
            node = try builder.add("second", convolution(6, 3), node)
        case .maxPool:
            node = try builder.add("pool", .pool(.init(.max, kernel: .init(2), stride: .init(2))), node)
            node = try builder.add("second", convolution(6, 3), node)
        case .shuffled:
            node = try builder.add("shuffle", .select([7, 3, 5, 1, nil, 6, 2, 4, 0]), node)
            node = try builder.add("second", convolution(6, 3), node)
        case .flatten:
            node = try builder.add("pool", .adaptiveAverage(.init(2, 2)), node)
            node = try builder.add("flat", .flatten, node)
            node = try builder.add("second", .linear(.init(outputs: 6)), node)
        }
        if reader != .flatten {
            node = try builder.add("norm", .batchNorm(epsilon: 1e-5), node)
            node = try builder.add("relu", .activation(.relu), node)
            node = try builder.add("mean", .adaptiveAverage(.one), node)
            node = try builder.add("flat", .flatten, node)
        }
        node = try builder.add("last", .linear(.init(outputs: 4)), node)
        return try builder.graph(output: node)
    }

    @Test(arguments: Reader.allCases)
    func filtersThatAreSumsOfOthersAreMadeUpForExactly(reader: Reader) throws {
        var generator = SeededGenerator(seed: 4)
        let graph = try graph(reader)
        var sums: [Int: [(filter: Int, weight: Float)]] = [
            // In each half, so a group of two reads what makes up for its loss.
            3: [(0, 0.5), (1, -0.75)], 7: [(4, 1), (5, -0.5)],
        ]
        // The maximum of a multiple is the multiple of the maximum; that of a sum is not.
        if reader == .maxPool { sums = [3: [(0, 0.5)], 7: [(4, 1.5)]] }
        let network = Network.random(graph, using: &generator).combining("first", sums)
        let mask = Mask(count: FilterSpace(graph).count, disabled: [3, 7])
        let images = randomImages(60, graph, &generator)
        let fitted = try network.reconstructed(removing: mask, on: images)
        let removed = try network.removing(mask)
        #expect(removed.graph.cost().multiplyAccumulates < graph.cost().multiplyAccumulates)
        #expect(abs(removed.loss(on: images) - network.loss(on: images)) > 1e-3)
        #expect(abs(fitted.loss(on: images) - network.loss(on: images)) < 1e-4)
    }

    // MARK: Residual and fully connected networks

    @Test func whatIsLeftComesNearerToTheOutputsOnOtherImages() throws {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(Self.residual, using: &generator)
        let mask = hidden(Self.residual, rate: 0.4, &generator)
        let images = ImageSet.random(40, using: &generator)
        let others = ImageSet.random(6, using: &generator)
        let fitted = try network.reconstructed(removing: mask, on: images)
        let removed = try network.removing(mask)
        #expect(fitted.graph == removed.graph)
        #expect(fitted.distance(from: network, on: others) < 0.5 * removed.distance(from: network, on: others))
    }

    @Test func channelsOfTheStreamMayGoToo() throws {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(Self.residual, using: &generator)
        let mask = Mask.random(count: FilterSpace(Self.residual).count, rate: 0.3, using: &generator)
        let images = ImageSet.random(40, using: &generator)
        let fitted = try network.reconstructed(removing: mask, on: images)
        let removed = try network.removing(mask)
        #expect(fitted.graph == removed.graph)
        #expect(fitted.distance(from: network, on: images) < removed.distance(from: network, on: images))
    }

    @Test func aBlockMakesUpForWhatItsShortcutLacks() throws {
        // Only filters of the first block are removed; the second block's last layer, which lost nothing, is refitted
        // too.
        var generator = SeededGenerator(seed: 8)
        let network = Network.random(Self.residual, using: &generator)
        let layer = try #require(FilterSpace(Self.residual).layers.first { $0.role == .hidden })
        let mask = Mask(count: FilterSpace(Self.residual).count, disabled: layer.filters.prefix(3))
        let images = try FittingImages(ImageSet.random(20, using: &generator), for: network)
        var layers: [String] = []
        _ = try Reconstruction(network, removing: mask, images: images).network { step in
            layers.append(step.layer)
            #expect(step.missed < step.missedBefore)
            #expect(Self.residual.node(named: step.target)?.operation == .add)
        }
        #expect(layers == (1...3).flatMap { stage in (0...1).map { "layer\(stage).\($0).conv2" } })
    }

    @Test func aNeuronThatRepeatsAnotherIsMadeUpForExactly() throws {
        var generator = SeededGenerator(seed: 4)
        let graph = Graph.fullyConnected(widths: [CIFAR10.layout.imageBytes, 6, 5, CIFAR10.layout.classes])
        let first = FilterSpace(graph).layers[0].name
        let network = Network.random(graph, using: &generator).combining(first, [5: [(0, 1)]])
        let mask = Mask(count: FilterSpace(graph).count, disabled: [5])
        let images = ImageSet.random(60, using: &generator)
        let fitted = try network.reconstructed(removing: mask, on: images)
        let lost = try network.removing(mask).distance(from: network, on: images)
        #expect(fitted.distance(from: network, on: images) < 1e-3 * lost)
    }

    @Test func aLayerThatLosesAllItsFiltersIsMadeUpForByConstants() throws {
        var generator = SeededGenerator(seed: 5)
        let network = Network.random(Self.residual, using: &generator)
        let layer = try #require(FilterSpace(Self.residual).layers.first { $0.role == .hidden })
        let mask = Mask(count: FilterSpace(Self.residual).count, disabled: Array(layer.filters))
        let images = ImageSet.random(20, using: &generator)
        let fitted = try network.reconstructed(removing: mask, on: images)
        let removed = try network.removing(mask)
        #expect(fitted.distance(from: network, on: images) < removed.distance(from: network, on: images))
    }
}
