extension Graph {
    /// The same graph with biases added to the given layers.
    public func addingBiases(to layers: Set<Int>) throws -> Graph {
        var builder = try GraphBuilder(image: imageShape)
        for (index, node) in nodes.enumerated().dropFirst() {
            var operation = node.operation
            if layers.contains(index) {
                switch operation {
                case .convolution(var convolution):
                    convolution.hasBias = true
                    operation = .convolution(convolution)
                case .linear(var linear):
                    linear.hasBias = true
                    operation = .linear(linear)
                default: break
                }
            }
            try builder.add(node.name, operation, node.inputs, isExact: true)
        }
        return try builder.graph(output: output)
    }
}
