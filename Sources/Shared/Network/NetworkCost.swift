/// What a network takes: trainable parameters, and FLOPs as the pruning literature counts them, which is
/// multiply-accumulates of convolutions and linear layers for one image. The published ResNet-20 has 269,722 parameters
/// and 40.6 million FLOPs.
public struct NetworkCost: Sendable, Equatable {
    /// The cost of one convolution with the batch norm that follows it, or of one linear layer.
    public struct Layer: Sendable, Equatable {
        /// The checkpoint's name of the convolution or linear layer.
        public let name: String
        /// Weights and biases, also the batch norm's two for each filter.
        public let parameters: Int
        /// Multiply-accumulates for one image.
        public let multiplyAccumulates: Int
    }

    /// The layers in the order of evaluation.
    public let layers: [Layer]

    /// Parameters in all.
    public var parameters: Int { layers.reduce(0) { $0 + $1.parameters } }

    /// Multiply-accumulates in all.
    public var multiplyAccumulates: Int { layers.reduce(0) { $0 + $1.multiplyAccumulates } }
}

extension Architecture {
    /// The cost of the network, or under a mask the cost of what is left of it.
    ///
    /// Counted is what can change an output: filters that are active, and of them the weights for input channels that
    /// can be other than zero. So a disabled hidden filter takes its own weights, its batch norm and the next
    /// convolution's weights for it, exactly as physical removal does. A disabled filter of the residual stream (the
    /// stem's or a `conv2`'s) takes its own weights; its channel is gone for those that read it only where no shortcut
    /// brings anything to it.
    ///
    /// This is the cost of the network that ``Compaction`` makes, but for the silent filters that it must keep.
    /// O(channels).
    public func cost(under mask: Mask? = nil) -> NetworkCost {
        let space = FilterSpace(self)
        precondition(mask.map { $0.count == space.count } ?? true, "the mask must be of this network")
        func active(_ layer: Int) -> [Bool] { space.layers[layer].filters.map { !(mask?[$0] ?? false) } }
        switch self {
        case .residual(let residual): return residual.cost(active: active)
        case .fullyConnected(let connected): return connected.cost(active: active)
        }
    }
}

extension ResidualArchitecture {
    /// The cost where `active` tells for a layer of the filter space which of its filters are active.
    fileprivate func cost(active: (Int) -> [Bool]) -> NetworkCost {
        var layers: [NetworkCost.Layer] = []
        func add(_ name: String, inputs: Int, outputs: [Bool], size: Int) {
            let filters = outputs.count { $0 }
            let weights = inputs * filters * 9
            layers.append(
                NetworkCost.Layer(
                    name: name, parameters: weights + 2 * filters, multiplyAccumulates: weights * size * size))
        }
        var size = imageSize
        var stream = active(0)
        add("conv1", inputs: imageChannels, outputs: stream, size: size)
        for (index, block) in blocks.enumerated() {
            size = (size + block.stride - 1) / block.stride
            let hidden = active(1 + 2 * index)
            let output = active(2 + 2 * index)
            add("\(block.name).conv1", inputs: stream.count { $0 }, outputs: hidden, size: size)
            add("\(block.name).conv2", inputs: hidden.count { $0 }, outputs: output, size: size)
            stream = zip(output, block.shortcut).map { isActive, source in
                isActive || (source.map { stream[$0] } ?? false)
            }
        }
        let weights = stream.count { $0 } * classes
        layers.append(
            NetworkCost.Layer(name: "linear", parameters: weights + classes, multiplyAccumulates: weights))
        return NetworkCost(layers: layers)
    }
}

extension FullyConnectedArchitecture {
    fileprivate func cost(active: (Int) -> [Bool]) -> NetworkCost {
        var inputs = layers.first?.input ?? 0
        return NetworkCost(
            layers: layers.enumerated().map { index, layer in
                let outputs = index < layers.count - 1 ? active(index).count { $0 } : layer.output
                defer { inputs = outputs }
                return NetworkCost.Layer(
                    name: layer.name, parameters: (inputs + 1) * outputs, multiplyAccumulates: inputs * outputs)
            })
    }
}
