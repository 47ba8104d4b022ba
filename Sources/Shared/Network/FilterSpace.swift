/// All filters of a network that can be disabled, numbered layer by layer in the order of evaluation, filter by filter.
///
/// The number of a filter is its bit in a ``Mask``. Filters that cannot be removed on their own have no number: those
/// of a depthwise convolution and of a gate (which multiplies other channels, as in squeeze-and-excitation) go with the
/// channels they follow, and the last layer's are the classes.
public struct FilterSpace: Sendable, Equatable {
    /// The relation of a layer's filters to the rest of the network.
    public enum Role: String, Sendable, Codable {
        /// Each channel belongs to one filter alone, so removing the filter removes the channel.
        case hidden
        /// Channels are sums with other layers' (residual streams), so a channel can only be removed with all filters
        /// that make it.
        case coupled
    }

    /// The filters of one layer.
    public struct Layer: Sendable, Equatable {
        /// The checkpoint's name, for example `layer1.0.conv1`.
        public let name: String
        /// The convolution or linear layer in ``Graph/nodes``.
        public let node: Int
        /// The relation of its filters to the rest of the network.
        public let role: Role
        /// The numbers of its filters.
        public let filters: Range<Int>
    }

    /// The layers whose filters can be disabled.
    public let layers: [Layer]

    /// The number of filters.
    public var count: Int { layers.last?.filters.upperBound ?? 0 }

    /// Numbers the filters of a network. O(channels).
    public init(_ graph: Graph) {
        self.init(graph, classes: ChannelClasses(graph))
    }

    init(_ graph: Graph, classes: ChannelClasses) {
        var layers: [Layer] = []
        var start = 0
        for node in classes.layers {
            let filters = graph.nodes[node].shape.channels
            layers.append(
                Layer(
                    name: graph.nodes[node].name, node: node,
                    role: classes.isCoupled(layer: layers.count) ? .coupled : .hidden,
                    filters: start..<start + filters))
            start += filters
        }
        self.layers = layers
    }

    /// The layer of a name, or nil.
    public func layer(named name: String) -> Layer? { layers.first { $0.name == name } }

    /// The index in ``layers`` of the layer that holds a filter. O(log layers).
    public func layerIndex(of filter: Int) -> Int {
        precondition((0..<count).contains(filter), "no such filter")
        var low = 0
        var high = layers.count - 1
        while low < high {
            let middle = (low + high) / 2
            if filter < layers[middle].filters.upperBound { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
