import Shared

extension Network {
    /// A network of random parameters, scaled so that activations keep their size and batch norms have an effect.
    public static func random(_ architecture: Architecture, using generator: inout SeededGenerator) -> Network {
        var parameters: [String: Tensor] = [:]
        func add(_ name: String, _ shape: [Int], in range: ClosedRange<Float>) {
            let count = shape.reduce(1, *)
            let values = (0..<count).map { _ in Float.random(in: range, using: &generator) }
            parameters[name] = Tensor(shape: shape, values: values)
        }
        func addWeight(_ name: String, _ shape: [Int]) {
            let bound = (3 / Float(max(shape.dropFirst().reduce(1, *), 1))).squareRoot()
            add(name, shape, in: -bound...bound)
        }
        func addConvolution(_ prefix: String, _ number: Int, input: Int, output: Int) {
            addWeight("\(prefix)conv\(number).weight", [output, input, 3, 3])
            add("\(prefix)bn\(number).weight", [output], in: 0.5...1.5)
            add("\(prefix)bn\(number).bias", [output], in: -0.5...0.5)
            add("\(prefix)bn\(number).running_mean", [output], in: -0.5...0.5)
            add("\(prefix)bn\(number).running_var", [output], in: 0.5...1.5)
        }
        switch architecture {
        case .residual(let residual):
            addConvolution("", 1, input: residual.imageChannels, output: residual.stem)
            for block in residual.blocks {
                addConvolution("\(block.name).", 1, input: block.input, output: block.hidden)
                addConvolution("\(block.name).", 2, input: block.hidden, output: block.output)
            }
            addWeight("linear.weight", [residual.classes, residual.blocks.last?.output ?? residual.stem])
            add("linear.bias", [residual.classes], in: -0.5...0.5)
        case .fullyConnected(let connected):
            for layer in connected.layers {
                addWeight("\(layer.name).weight", [layer.output, layer.input])
                add("\(layer.name).bias", [layer.output], in: -0.5...0.5)
            }
        }
        return Network(architecture: architecture, parameters: parameters)
    }
}

extension Architecture {
    /// A residual network with published shortcuts: `widths.count` stages of `blocksPerStage` blocks, the first block
    /// of every later stage halving the image.
    public static func residual(
        widths: [Int], blocksPerStage: Int, imageSize: Int = 8, classes: Int = 10
    ) -> Architecture {
        var blocks: [ResidualArchitecture.Block] = []
        var input = widths[0]
        for (stage, width) in widths.enumerated() {
            for index in 0..<blocksPerStage {
                blocks.append(
                    ResidualArchitecture.Block(
                        name: "layer\(stage + 1).\(index)", stride: stage > 0 && index == 0 ? 2 : 1, input: input,
                        hidden: width, output: width,
                        shortcut: ResidualArchitecture.Block.paddedShortcut(input: input, output: width)))
                input = width
            }
        }
        return .residual(
            ResidualArchitecture(imageSize: imageSize, stem: widths[0], blocks: blocks, classes: classes))
    }

    /// A chain of linear layers with the given widths, inputs first.
    public static func fullyConnected(widths: [Int]) -> Architecture {
        let layers = (1..<widths.count).map { index in
            FullyConnectedArchitecture.Linear(name: "fc\(index)", input: widths[index - 1], output: widths[index])
        }
        return .fullyConnected(FullyConnectedArchitecture(layers: layers))
    }
}

extension Mask {
    /// A mask that disables every filter with the given probability.
    public static func random(count: Int, rate: Double, using generator: inout SeededGenerator) -> Mask {
        Mask(count: count, disabled: (0..<count).filter { _ in Double.random(in: 0..<1, using: &generator) < rate })
    }
}
