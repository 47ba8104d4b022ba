/// A network's costs: trainable parameters, and FLOPs as the pruning literature counts them, that is
/// multiply-accumulates of convolutions and linear layers for one image. The published ResNet-20 has 269,722 parameters
/// and 40.6 million FLOPs.
public struct NetworkCost: Sendable, Equatable {
    /// The cost of one convolution or linear layer with the batch norm (or similar) after it, or of such a node without
    /// a layer before it.
    public struct Layer: Sendable, Equatable {
        /// The checkpoint's name of the layer.
        public let name: String
        /// Weights and biases, and the batch norm's two per filter.
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

/// A layer's cost as a function of the channels that it reads and makes.
public struct LayerCost: Sendable, Equatable {
    /// Its place in ``Graph/nodes``.
    public let node: Int
    /// Weights per channel read and channel made; 0 for a layer with only per-channel parameters.
    public let taps: Int
    /// Groups of a convolution; its filters read this part of the channels only.
    let groups: Int
    /// Whether each channel made reads a single one, whatever happens to the others.
    public let isDepthwise: Bool
    /// Pixels of its output.
    public let positions: Int
    /// Parameters per channel made besides its weights: a bias, a batch norm's weight and bias.
    let parametersPerChannel: Int

    /// Trainable parameters and multiply-accumulates for one image.
    public func cost(reading: Int, making: Int) -> (parameters: Int, multiplyAccumulates: Int) {
        let weights = taps * making * (isDepthwise ? 1 : reading) / (isDepthwise ? 1 : groups)
        return (weights + making * parametersPerChannel, weights * positions)
    }
}

extension Graph {
    /// The costs of all nodes with parameters, in the order of evaluation. Those of a batch norm or similar belong to
    /// the layer before it, if that is its only input.
    public var layerCosts: [LayerCost] {
        var perChannel: [Int: Int] = [:]
        var order: [Int] = []
        var owner: [Int: Int] = [:]
        for (index, node) in nodes.enumerated() {
            let trained = parameters(of: index).filter { $0.role.isTrained && $0.shape.count == 1 }.count
            switch node.operation {
            case .convolution, .linear:
                owner[index] = index
                order.append(index)
                perChannel[index] = trained
            case .batchNorm, .affine, .activation(.prelu):
                let mine = owner[node.inputs[0]] ?? index
                if mine == index { order.append(index) } else { owner[index] = mine }
                perChannel[mine, default: 0] += trained
            default: break
            }
        }
        return order.map { index in
            let node = nodes[index]
            var taps = 0
            var groups = 1
            var isDepthwise = false
            switch node.operation {
            case .convolution(let convolution):
                taps = convolution.kernel.height * convolution.kernel.width
                groups = convolution.groups
                isDepthwise = !mixesChannels(node)
            case .linear: taps = 1
            default: break
            }
            return LayerCost(
                node: index, taps: taps, groups: groups, isDepthwise: isDepthwise, positions: node.shape.pixels,
                parametersPerChannel: perChannel[index] ?? 0)
        }
    }

    /// The cost of the network, or of what a mask leaves of it: channels that are present and affect the outputs
    /// (``ChannelPresence``). It equals the cost of the network that ``Removal`` makes, except for the silent channels
    /// it must keep. O(channels).
    public func cost(under mask: Mask? = nil) -> NetworkCost {
        let used = ChannelPresence(self, FilterSpace(self), mask: mask).isUsed.map { $0.count { $0 } }
        return NetworkCost(
            layers: layerCosts.map { layer in
                let node = nodes[layer.node]
                let cost = layer.cost(reading: used[node.inputs[0]], making: used[layer.node])
                return NetworkCost.Layer(
                    name: node.name, parameters: cost.parameters, multiplyAccumulates: cost.multiplyAccumulates)
            })
    }
}
