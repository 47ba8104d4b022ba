/// All filters of a network, numbered: layer after layer in the order of evaluation, filter after filter.
///
/// The number of a filter is its bit in a ``Mask``.
public struct FilterSpace: Sendable, Equatable {
    /// What a layer's filters are to the rest of the network.
    public enum Role: String, Sendable, Codable {
        /// The first convolution, whose output starts the residual stream.
        case stem
        /// The first convolution of a residual block, or a hidden layer of a fully connected network: nothing but the
        /// next layer reads its output.
        case hidden
        /// The second convolution of a residual block, whose output is added to the residual stream.
        case stream
    }

    /// The filters of one layer.
    public struct Layer: Sendable, Equatable {
        /// The checkpoint's name, for example `layer1.0.conv1`.
        public let name: String
        /// What its filters are to the rest of the network.
        public let role: Role
        /// The numbers of its filters.
        public let filters: Range<Int>
    }

    /// The layers whose filters can be disabled: all but the last linear layer.
    public let layers: [Layer]

    /// The number of filters.
    public var count: Int { layers.last?.filters.upperBound ?? 0 }

    /// Numbers the filters of a network.
    public init(_ architecture: Architecture) {
        var layers: [Layer] = []
        func append(_ name: String, _ role: Role, _ filters: Int) {
            let start = layers.last?.filters.upperBound ?? 0
            layers.append(Layer(name: name, role: role, filters: start..<start + filters))
        }
        switch architecture {
        case .residual(let residual):
            append("conv1", .stem, residual.stem)
            for block in residual.blocks {
                append("\(block.name).conv1", .hidden, block.hidden)
                append("\(block.name).conv2", .stream, block.output)
            }
        case .fullyConnected(let connected):
            for layer in connected.layers.dropLast() { append(layer.name, .hidden, layer.output) }
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
