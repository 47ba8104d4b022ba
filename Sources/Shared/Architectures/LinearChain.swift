/// A chain of linear layers with an activation between them, usually ReLU; it sees an image flattened in `[channel, row, column]` order.
public struct LinearChain: Sendable, Equatable {
    /// One linear layer.
    public struct Linear: Sendable, Equatable {
        /// The checkpoint's name of the layer.
        public var name: String
        /// Inputs.
        public var input: Int
        /// Outputs (neurons).
        public var output: Int
        /// Whether it has a bias.
        public var hasBias: Bool
        /// The name of the batch norm after it, if any.
        public var norm: String?

        /// Makes a layer.
        public init(name: String, input: Int, output: Int, hasBias: Bool = true, norm: String? = nil) {
            self.name = name
            self.input = input
            self.output = output
            self.hasBias = hasBias
            self.norm = norm
        }
    }

    /// The layers, in order. The last one outputs the classes.
    public var layers: [Linear]

    /// Describes a network.
    public init(layers: [Linear]) { self.layers = layers }

    /// Its graph for images of a shape. Without a shape, the first layer's inputs imply it if they match the images of
    /// a common data set. Throws a `.badInput` ``Failure`` if the layers do not fit each other or the images.
    public func graph(
        image: Shape? = nil, activation: Operation.Activation = .relu, epsilon: Double = CheckpointHints.usualEpsilon
    ) throws -> Graph {
        let inputs = layers.first?.input ?? 0
        let image = image ?? Self.usualShapes.first { $0.count == inputs } ?? Shape(vector: inputs)
        var builder = try GraphBuilder(image: image)
        var node = try builder.add("flatten", .flatten, 0)
        for (index, layer) in layers.enumerated() {
            let inputs = builder.shape(node).channels
            guard layer.input == inputs else {
                throw Failure(
                    .badInput,
                    "tensor \(layer.name).weight has shape [\(layer.output), \(layer.input)], but "
                        + "[\(layer.output), \(inputs)] would continue the chain of linear layers"
                        + (index == 0 ? " from images of \(image)" : ""))
            }
            node = try builder.add(
                layer.name, .linear(.init(outputs: layer.output, hasBias: layer.hasBias)), [node], isExact: true)
            if let norm = layer.norm {
                node = try builder.add(norm, .batchNorm(epsilon: epsilon), [node], isExact: true)
            }
            if index < layers.count - 1 { node = try builder.add(activation.kindName, .activation(activation), node) }
        }
        return try builder.graph(output: node)
    }

    /// CIFAR's images, and MNIST's.
    private static let usualShapes = [
        Shape(channels: 3, height: 32, width: 32), Shape(channels: 1, height: 28, width: 28),
    ]
}
