import Foundation
import Shared

/// An architecture as a word of the command line, and its parameters before training.
struct InitialNetwork {
    /// The largest numbers of layers and channels in a word.
    private static let depthMax = 1202
    private static let widthMax = 1024

    let graph: Graph

    /// Reads `resnet20` (or any 6n + 2 up to 1202), `resnet:WIDTHxDEPTH` (`resnet:8x20`), or `mlp:512-256` (the hidden
    /// layers), for images of a layout. Throws a `.usage` ``Failure``.
    init(_ word: String, for images: ImageLayout = CIFAR10.layout) throws {
        let wrong = Failure(
            .usage, "--architecture must be resnet20, resnet56, …, resnet:WIDTHxDEPTH or mlp:512-256, not '\(word)'")
        if word.hasPrefix("mlp:") {
            let sizes = word.dropFirst(4).split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            let hidden = sizes.compactMap { $0 }
            guard hidden.count == sizes.count, hidden.allSatisfy({ (1...4096).contains($0) }), hidden.count <= 16 else {
                throw wrong
            }
            graph = try Self.fullyConnected(hidden, images)
        } else if word.hasPrefix("resnet:") {
            let parts = word.dropFirst(7).split(separator: "x").map { Int($0) }
            guard parts.count == 2, let width = parts[0], let depth = parts[1] else { throw wrong }
            graph = try Self.residual(width: width, depth: depth, images, wrong)
        } else if word.hasPrefix("resnet"), let depth = Int(word.dropFirst(6)) {
            graph = try Self.residual(width: 16, depth: depth, images, wrong)
        } else {
            throw wrong
        }
    }

    /// Weights of He et al. (2015): normal with variance 2 / inputs, the last layer's and fully connected biases zero,
    /// batch normalisations the identity. A function of the seed.
    func network(seed: UInt64) -> Network {
        let layout = ParameterLayout(graph)
        var random = SplitMix64(seed: seed, 2)
        func uniform() -> Double { (Double(random.next() >> 11) + 0.5) / 9_007_199_254_740_992 }
        func normal() -> Double { (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform()) }
        func values(_ entries: [ParameterLayout.Entry]) -> [Float] {
            entries.flatMap { entry -> [Float] in
                switch entry.kind {
                case .weight:
                    let inputs = entry.shape.dropFirst().reduce(1, *)
                    let deviation = (2 / Double(inputs)).squareRoot()
                    return entry.range.map { _ in Float(normal() * deviation) }
                case .normalisation:
                    return [Float](repeating: entry.name.hasSuffix(".weight") ? 1 : 0, count: entry.range.count)
                case .bias, .mean: return [Float](repeating: 0, count: entry.range.count)
                case .variance: return [Float](repeating: 1, count: entry.range.count)
                }
            }
        }
        return layout.network(graph, trained: values(layout.trained), statistics: values(layout.statistics))
    }

    private static func fullyConnected(_ hidden: [Int], _ images: ImageLayout) throws -> Graph {
        var layers: [LinearChain.Linear] = []
        for (index, output) in (hidden + [images.classes]).enumerated() {
            let input = layers.last?.output ?? images.shape.count
            layers.append(.init(name: "fc\(index + 1)", input: input, output: output))
        }
        return try LinearChain(layers: layers).graph(image: images.shape)
    }

    private static func residual(
        width: Int, depth: Int, _ images: ImageLayout, _ wrong: Failure
    ) throws -> Graph {
        guard images.shape.height == images.shape.width else {
            throw Failure(.usage, "a residual network needs square images, but these are \(images.shape)")
        }
        guard depth >= 8, depth <= depthMax, depth % 6 == 2, (1...widthMax / 4).contains(width) else { throw wrong }
        var blocks: [CIFARResNet.Block] = []
        for stage in 0..<3 {
            let output = width << stage
            for index in 0..<(depth - 2) / 6 {
                let input = blocks.last?.output ?? width
                blocks.append(
                    .init(
                        name: "layer\(stage + 1).\(index)", stride: stage > 0 && index == 0 ? 2 : 1, input: input,
                        hidden: output, output: output,
                        shortcut: CIFARResNet.Block.paddedShortcut(input: input, output: output)))
            }
        }
        let network = CIFARResNet(
            imageSize: images.shape.height, imageChannels: images.shape.channels, stem: width, blocks: blocks,
            classes: images.classes)
        return try network.graph()
    }
}
