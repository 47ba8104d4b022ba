extension Graph {
    /// A short description for people: `ResNet-20`, `fully connected 3072-512-10`.
    public var summary: String {
        let layers = nodes.filter { mixesChannels($0) && $0.operation != .softmax }
        let isFullyConnected = layers.allSatisfy { if case .linear = $0.operation { true } else { false } }
        if isFullyConnected, let first = layers.first {
            let widths = [inputShape(of: first).channels] + layers.map(\.shape.channels)
            return "fully connected " + widths.map(String.init).joined(separator: "-")
        }
        // Projections do not count in a ResNet's published name.
        let depth = layers.count { !$0.name.contains("shortcut") && !$0.name.contains("downsample") }
        let isResidual = nodes.allSatisfy { node in
            switch node.operation {
            case .multiply, .concatenate: false
            case .convolution: mixesChannels(node)
            default: true
            }
        }
        let hasSums = nodes.contains { $0.operation == .add }
        return isResidual && hasSums ? "ResNet-\(depth)" : "convolutional network of \(layers.count) layers"
    }
}
