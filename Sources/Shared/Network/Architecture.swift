/// The shape of a network, without its parameters.
public enum Architecture: Sendable, Equatable {
    case residual(ResidualArchitecture)
    case fullyConnected(FullyConnectedArchitecture)

    /// The shape of the images that it takes; a vector for a chain of linear layers, which flattens them.
    public var input: Shape {
        switch self {
        case .residual(let residual):
            Shape(channels: residual.imageChannels, height: residual.imageSize, width: residual.imageSize)
        case .fullyConnected(let connected): Shape(vector: connected.layers.first?.input ?? 0)
        }
    }

    /// Its outputs: the classes that it tells apart.
    public var classes: Int {
        switch self {
        case .residual(let residual): residual.classes
        case .fullyConnected(let connected): connected.layers.last?.output ?? 0
        }
    }
}

/// A ResNet for 32×32 images as He et al. (2016, section 4.2) build it: a 3×3 convolution, residual blocks of two
/// 3×3 convolutions with parameter-free shortcuts, global average pooling and one linear layer. Any channel count may
/// differ from the published one, because pruning changes them.
public struct ResidualArchitecture: Sendable, Equatable {
    /// One residual block: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
    public struct Block: Sendable, Equatable {
        /// The checkpoint's name of the block, for example `layer1.0`.
        public var name: String
        /// Stride of `conv1` and of the shortcut: 1 or 2.
        public var stride: Int
        /// Channels that come in.
        public var input: Int
        /// Filters of `conv1`.
        public var hidden: Int
        /// Filters of `conv2`, the channels that go out.
        public var output: Int
        /// For every output channel the input channel that the shortcut adds to it, or nil where it adds zero.
        public var shortcut: [Int?]

        /// Makes a block.
        public init(name: String, stride: Int, input: Int, hidden: Int, output: Int, shortcut: [Int?]) {
            precondition(shortcut.count == output, "a shortcut maps every output channel")
            self.name = name
            self.stride = stride
            self.input = input
            self.hidden = hidden
            self.output = output
            self.shortcut = shortcut
        }

        /// The published shortcut: identity where the channels stay, otherwise zero-padded by half the difference on
        /// both sides.
        public static func paddedShortcut(input: Int, output: Int) -> [Int?] {
            let offset = (output - input) / 2
            return (0..<output).map { (0..<input).contains($0 - offset) ? $0 - offset : nil }
        }
    }

    /// Height and width of the images.
    public var imageSize: Int
    /// Channels of the images.
    public var imageChannels: Int
    /// Filters of the first convolution, `conv1`.
    public var stem: Int
    /// The residual blocks, in order.
    public var blocks: [Block]
    /// Outputs of the linear layer.
    public var classes: Int

    /// Makes an architecture.
    public init(imageSize: Int = 32, imageChannels: Int = 3, stem: Int, blocks: [Block], classes: Int) {
        self.imageSize = imageSize
        self.imageChannels = imageChannels
        self.stem = stem
        self.blocks = blocks
        self.classes = classes
    }

    /// Convolutions and the linear layer, as the published names count them (20 for ResNet-20).
    public var depth: Int { 2 * blocks.count + 2 }
}

/// A chain of linear layers with ReLU between them; it sees an image flattened in `[channel, row, column]` order.
public struct FullyConnectedArchitecture: Sendable, Equatable {
    /// One linear layer.
    public struct Linear: Sendable, Equatable {
        /// The checkpoint's name of the layer.
        public var name: String
        /// Inputs.
        public var input: Int
        /// Outputs (neurons).
        public var output: Int

        /// Makes a layer.
        public init(name: String, input: Int, output: Int) {
            self.name = name
            self.input = input
            self.output = output
        }
    }

    /// The layers, in order. The last one's outputs are the classes.
    public var layers: [Linear]

    /// Makes an architecture.
    public init(layers: [Linear]) { self.layers = layers }
}
