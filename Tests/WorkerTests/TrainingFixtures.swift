import Shared
import TestSupport

@testable import Worker

/// Small networks and images for the training tests.
enum TrainingFixtures {
    /// Odd channel counts, both strides, and every kind of shortcut: identity, zero-padded, picked.
    static let residual = Graph.residual(
        CIFARResNet(
            stem: 5,
            blocks: [
                block("layer1.0", stride: 1, 5, 7, 5, (0..<5).map { $0 }),
                block("layer2.0", stride: 2, 5, 3, 9, CIFARResNet.Block.paddedShortcut(input: 5, output: 9)),
                block("layer2.1", stride: 1, 9, 17, 8, [3, nil, 0, 8, 8, nil, 5, 1]),
                block("layer3.0", stride: 2, 8, 4, 6, [7, 6, nil, 0, 1, 2]),
            ], classes: 10))

    static let connected = Graph.fullyConnected(
        LinearChain(layers: [
            .init(name: "fc1", input: 3072, output: 13), .init(name: "fc2", input: 13, output: 7),
            .init(name: "fc3", input: 7, output: 10),
        ]))

    private static func block(
        _ name: String, stride: Int, _ input: Int, _ hidden: Int, _ output: Int, _ shortcut: [Int?]
    ) -> CIFARResNet.Block {
        .init(name: name, stride: stride, input: input, hidden: hidden, output: output, shortcut: shortcut)
    }

    /// A network with parameters that keep every layer's outputs of size one.
    static func network(_ architecture: Graph, seed: UInt64) -> Network {
        let layout = ParameterLayout(architecture)
        var random = SplitMix64(seed: seed)
        func values(_ entries: [ParameterLayout.Entry]) -> [Float] {
            entries.flatMap { entry -> [Float] in
                entry.range.map { _ in
                    let noise = Float.random(in: -1...1, using: &random)
                    switch entry.kind {
                    case .weight:
                        return noise * (6 / Float(entry.shape.dropFirst().reduce(1, *))).squareRoot()
                    case .variance: return 1 + noise / 2
                    case .normalisation: return entry.name.hasSuffix("weight") ? 1 + noise / 2 : noise / 2
                    case .bias, .mean: return noise / 2
                    }
                }
            }
        }
        return layout.network(
            architecture, trained: values(layout.trained), statistics: values(layout.statistics))
    }

    /// A random graph with random parameters, and images for it.
    static func sample(seed: UInt64, images count: Int) throws -> (network: Network, images: ImageSet) {
        var generator = SeededGenerator(seed: seed)
        let graph = try RandomGraphs.graph(seed: seed, operations: 10)
        let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes, pixelType: .float32)
        return (
            Network.random(graph, using: &generator), ImageSet.random(count, layout: layout, using: &generator)
        )
    }

    /// Images of random pixels.
    static func images(_ count: Int, seed: UInt64) -> ImageSet {
        var random = SplitMix64(seed: seed)
        return .random(count, using: &random)
    }

    /// An image in the reference's form.
    static func pixels(_ images: ImageSet, _ image: Int) -> [[Double]] {
        let values = images.input(image, .standard)
        let area = images.layout.shape.pixels
        return stride(from: 0, to: values.count, by: area).map { Array(values[$0..<$0 + area]) }
    }
}
