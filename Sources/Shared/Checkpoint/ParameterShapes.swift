extension Architecture {
    /// The name and shape of every parameter and batch-norm statistic, in the order in which PyTorch lists them.
    public var parameterShapes: [(name: String, shape: [Int])] {
        switch self {
        case .residual(let residual): residual.parameterShapes
        case .fullyConnected(let connected):
            connected.layers.flatMap { layer in
                [("\(layer.name).weight", [layer.output, layer.input]), ("\(layer.name).bias", [layer.output])]
            }
        }
    }
}

extension ResidualArchitecture {
    fileprivate var parameterShapes: [(name: String, shape: [Int])] {
        func convolution(_ name: String, _ norm: String, _ input: Int, _ output: Int) -> [(String, [Int])] {
            [("\(name).weight", [output, input, 3, 3])]
                + ["weight", "bias", "running_mean", "running_var"].map { ("\(norm).\($0)", [output]) }
        }
        var shapes = convolution("conv1", "bn1", imageChannels, stem)
        for block in blocks {
            shapes += convolution("\(block.name).conv1", "\(block.name).bn1", block.input, block.hidden)
            shapes += convolution("\(block.name).conv2", "\(block.name).bn2", block.hidden, block.output)
        }
        let outputs = blocks.last?.output ?? stem
        return shapes + [("linear.weight", [classes, outputs]), ("linear.bias", [classes])]
    }
}
