/// What a network takes: trainable parameters, and FLOPs as the pruning literature counts them, which is
/// multiply-accumulates of convolutions and linear layers for one image. The published ResNet-20 has 269,722 parameters
/// and 40.6 million FLOPs.
public struct NetworkCost: Sendable, Equatable {
    /// The cost of one convolution or linear layer with the batch norm (or the like) that follows it, or of such a
    /// thing that follows none.
    public struct Layer: Sendable, Equatable {
        /// The checkpoint's name of the layer.
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

/// What one layer costs as a function of the channels that it reads and makes.
public struct LayerCost: Sendable, Equatable {
    /// Its place in ``Graph/nodes``.
    public let node: Int
    /// Weights of one channel read and one channel made; 0 for a layer that only has parameters for each channel.
    public let taps: Int
    /// Groups of a convolution; its filters read this part of the channels only.
    let groups: Int
    /// Whether each channel made reads a single one, whatever is left of the others.
    public let isDepthwise: Bool
    /// Pixels of its output.
    public let positions: Int
    /// Parameters of one channel made besides its weights: a bias, a batch norm's weight and bias.
    let parametersPerChannel: Int

    /// Trainable parameters and multiply-accumulates for one image.
    public func cost(reading: Int, making: Int) -> (parameters: Int, multiplyAccumulates: Int) {
        let weights = taps * making * (isDepthwise ? 1 : reading) / (isDepthwise ? 1 : groups)
        return (weights + making * parametersPerChannel, weights * positions)
    }
}

extension Graph {
    /// The costs of all nodes that have parameters, in the order of evaluation. A batch norm's and the like belong to
    /// the layer before it, if that is all it reads.
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

    /// The cost of the network, or under a mask the cost of what is left of it: channels that are there and have an
    /// effect on the outputs (``ChannelPresence``). It is the cost of the network that ``Removal`` makes, but for the
    /// silent channels that it must keep. O(channels).
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
