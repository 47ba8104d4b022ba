import Shared

extension Network {
    /// A network of random parameters, scaled so that activations keep their size and batch norms have an effect.
    public static func random(_ graph: Graph, using generator: inout SeededGenerator) -> Network {
        var parameters: [String: Tensor] = [:]
        for parameter in graph.parameters {
            let range: ClosedRange<Float>
            switch parameter.role {
            case .weight where graph.isLayer(parameter.node):
                let bound = (3 / Float(max(parameter.shape.dropFirst().reduce(1, *), 1))).squareRoot()
                range = -bound...bound
            case .weight, .runningVariance: range = 0.5...1.5
            case .bias, .runningMean: range = -0.5...0.5
            }
            let values = (0..<parameter.shape.reduce(1, *)).map { _ in Float.random(in: range, using: &generator) }
            parameters[parameter.name] = Tensor(shape: parameter.shape, values: values)
        }
        return Network(graph: graph, parameters: parameters)
    }
}

extension Graph {
    /// A residual network with published shortcuts: `widths.count` stages of `blocksPerStage` blocks, the first block
    /// of every later stage halving the image.
    public static func residual(
        widths: [Int], blocksPerStage: Int, imageSize: Int = 8, classes: Int = 10
    ) -> Graph {
        var blocks: [CIFARResNet.Block] = []
        var input = widths[0]
        for (stage, width) in widths.enumerated() {
            for index in 0..<blocksPerStage {
                blocks.append(
                    CIFARResNet.Block(
                        name: "layer\(stage + 1).\(index)", stride: stage > 0 && index == 0 ? 2 : 1, input: input,
                        hidden: width, output: width,
                        shortcut: CIFARResNet.Block.paddedShortcut(input: input, output: width)))
                input = width
            }
        }
        return .residual(CIFARResNet(imageSize: imageSize, stem: widths[0], blocks: blocks, classes: classes))
    }

    /// The graph of a residual network that is known to be sound.
    public static func residual(_ network: CIFARResNet) -> Graph {
        do { return try network.graph() } catch { preconditionFailure("\(error)") }
    }

    /// The graph of a chain of linear layers that is known to be sound.
    public static func fullyConnected(_ network: LinearChain, image: Shape? = nil) -> Graph {
        do { return try network.graph(image: image) } catch { preconditionFailure("\(error)") }
    }

    /// A chain of linear layers with the given widths, inputs first.
    public static func fullyConnected(widths: [Int]) -> Graph {
        let layers = (1..<widths.count).map { index in
            LinearChain.Linear(name: "fc\(index)", input: widths[index - 1], output: widths[index])
        }
        return .fullyConnected(LinearChain(layers: layers))
    }
}

extension Mask {
    /// A mask that disables every filter with the given probability.
    public static func random(count: Int, rate: Double, using generator: inout SeededGenerator) -> Mask {
        Mask(count: count, disabled: (0..<count).filter { _ in Double.random(in: 0..<1, using: &generator) < rate })
    }
}
