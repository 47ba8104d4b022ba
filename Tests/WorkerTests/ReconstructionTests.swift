import Shared
import TestSupport
import Testing

@testable import Worker

/// Fitting the layers behind removed filters anew.
struct ReconstructionTests {
    private static let residual = Graph.residual(
        widths: [6, 8, 12], blocksPerStage: 2, imageSize: 32)

    /// The mean squared difference of a network's outputs from another's.
    private func distance(_ network: Network, _ other: Network, _ images: ImageSet) -> Double {
        let inputs = (0..<images.count).map { image in
            let loader = ImageLoader(images, .standard)
            let buffer = AlignedBuffer(count: CIFAR10.layout.imageBytes)
            loader.write(image, ImageLoader.Distortion(), channelsLast: false, to: buffer.pointer)
            return buffer.values.map(Double.init)
        }
        let (a, b) = (ReferenceForward(network).outputs(inputs), ReferenceForward(other).outputs(inputs))
        let differences = zip(a.joined(), b.joined()).map { ($0 - $1) * ($0 - $1) }
        return differences.reduce(0, +) / Double(differences.count)
    }

    private func hidden(_ architecture: Graph, rate: Double, _ generator: inout SeededGenerator) -> Mask {
        let space = FilterSpace(architecture)
        let filters = space.layers.filter { $0.role == .hidden }.flatMap { layer in
            layer.filters.shuffled(using: &generator).prefix(Int(Double(layer.filters.count) * rate))
        }
        return Mask(count: space.count, disabled: filters)
    }

    @Test func aNetworkThatLosesNothingStaysAsItIs() throws {
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(Self.residual, using: &generator)
        let images = ImageSet.random(6, using: &generator)
        let mask = Mask(count: FilterSpace(Self.residual).count)
        let same = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        #expect(same.graph == network.graph)
        #expect(distance(same, network, ImageSet.random(4, using: &generator)) < 1e-6)
    }

    @Test func whatIsLeftComesNearerToTheOutputsOnOtherImages() throws {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(Self.residual, using: &generator)
        let mask = hidden(Self.residual, rate: 0.4, &generator)
        let images = ImageSet.random(40, using: &generator)
        let others = ImageSet.random(6, using: &generator)
        let fitted = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        let removed = try network.removing(mask)
        #expect(fitted.graph == removed.graph)
        #expect(distance(fitted, network, others) < 0.5 * distance(removed, network, others))
    }

    @Test func channelsOfTheStreamMayGoToo() throws {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(Self.residual, using: &generator)
        let mask = Mask.random(count: FilterSpace(Self.residual).count, rate: 0.3, using: &generator)
        let images = ImageSet.random(40, using: &generator)
        let fitted = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        let removed = try network.removing(mask)
        #expect(fitted.graph == removed.graph)
        #expect(distance(fitted, network, images) < distance(removed, network, images))
    }

    @Test func aFilterThatIsTheSumOfTwoOthersIsMadeUpForExactly() throws {
        // The removed neuron repeats two others, so nothing need be lost.
        var generator = SeededGenerator(seed: 4)
        let architecture = Graph.fullyConnected(widths: [
            CIFAR10.layout.imageBytes, 6, 5, CIFAR10.layout.classes,
        ])
        let random = Network.random(architecture, using: &generator)
        var parameters = random.parameters
        for name in ["weight", "bias"] {
            let first = FilterSpace(architecture).layers[0].name
            let tensor = random["\(first).\(name)"]
            let size = tensor.values.count / 6
            let copied = tensor.values.prefix(5 * size) + tensor.values.prefix(size)
            parameters["\(first).\(name)"] = Tensor(shape: tensor.shape, values: Array(copied))
        }
        let network = Network(graph: architecture, parameters: parameters)
        let mask = Mask(count: FilterSpace(architecture).count, disabled: [5])
        let images = ImageSet.random(60, using: &generator)
        let fitted = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        let lost = distance(try network.removing(mask), network, images)
        #expect(distance(fitted, network, images) < 1e-3 * lost)
    }

    @Test func aLayerThatLosesAllItsFiltersIsMadeUpForByConstants() throws {
        var generator = SeededGenerator(seed: 5)
        let network = Network.random(Self.residual, using: &generator)
        let layer = try #require(FilterSpace(Self.residual).layers.first { $0.role == .hidden })
        let mask = Mask(count: FilterSpace(Self.residual).count, disabled: Array(layer.filters))
        let images = ImageSet.random(20, using: &generator)
        let fitted = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        #expect(distance(fitted, network, images) < distance(try network.removing(mask), network, images))
    }

    @Test func theSameImagesGiveTheSameBits() throws {
        var generator = SeededGenerator(seed: 6)
        let network = Network.random(Self.residual, using: &generator)
        let mask = hidden(Self.residual, rate: 0.5, &generator)
        let images = ImageSet.random(60, using: &generator)
        let fitted = try (0..<2).map { _ in
            try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
        }
        #expect(fitted[0] == fitted[1])
    }
}
