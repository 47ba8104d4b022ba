/// A ResNet for small images by He et al. (2016, section 4.2): a 3×3 convolution, residual blocks of two 3×3
/// convolutions with parameter-free shortcuts, global average pooling and one linear layer. Channel counts may differ
/// from the published ones, because pruning changes them.
public struct CIFARResNet: Sendable, Equatable {
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
        /// Filters of `conv2`, the output channels.
        public var output: Int
        /// For every output channel, the input channel that the shortcut adds to it, or nil if it adds zero.
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

        /// The published shortcut: identity if the channels stay, otherwise zero-padded by half the difference on both
        /// sides, or by all of it at the end.
        public static func paddedShortcut(input: Int, output: Int, atEnd: Bool = false) -> [Int?] {
            let offset = atEnd ? 0 : (output - input) / 2
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
    /// The linear layer's name.
    public var head: String

    /// Describes a network.
    public init(
        imageSize: Int = 32, imageChannels: Int = 3, stem: Int, blocks: [Block], classes: Int, head: String = "linear"
    ) {
        self.imageSize = imageSize
        self.imageChannels = imageChannels
        self.stem = stem
        self.blocks = blocks
        self.classes = classes
        self.head = head
    }

    /// Its graph. Throws a `.badInput` ``Failure`` if the channels do not fit.
    public func graph() throws -> Graph {
        var builder = try GraphBuilder(image: Shape(channels: imageChannels, height: imageSize, width: imageSize))
        var stream = try builder.addConvolution("conv1", norm: "bn1", filters: stem, kernel: 3, after: 0)
        stream = try builder.add("relu", .activation(.relu), stream)
        for block in blocks {
            var x = try builder.addConvolution(
                "\(block.name).conv1", norm: "\(block.name).bn1", filters: block.hidden, kernel: 3,
                stride: block.stride, after: stream)
            x = try builder.add("\(block.name).relu1", .activation(.relu), x)
            x = try builder.addConvolution(
                "\(block.name).conv2", norm: "\(block.name).bn2", filters: block.output, kernel: 3, after: x)
            stream = try builder.addParameterFreeShortcut(
                "\(block.name).add", stride: block.stride, channels: block.shortcut, from: stream)
            stream = try builder.add("\(block.name).add", .add, [x, stream])
            stream = try builder.add("\(block.name).relu", .activation(.relu), stream)
        }
        let output = try builder.addHead(head, classes: classes, after: stream)
        return try builder.graph(output: output)
    }
}

extension GraphBuilder {
    /// Adds a convolution without bias, padded so that stride 1 keeps the size, and its batch norm.
    mutating func addConvolution(
        _ name: String, norm: String, filters: Int, kernel: Int, stride: Int = 1, groups: Int = 1, after input: Int
    ) throws -> Int {
        let convolution = Operation.Convolution(
            filters: filters, kernel: .init(kernel), stride: .init(stride), padding: .init(kernel / 2), groups: groups)
        let node = try add(name, .convolution(convolution), [input], isExact: true)
        return try add(norm, .batchNorm(epsilon: 1e-5), [node], isExact: true)
    }

    /// Adds every `stride`-th pixel of the given channels, or the mean of `stride` × `stride`, without parameters, for a
    /// sum of that name.
    mutating func addParameterFreeShortcut(
        _ name: String, stride: Int, isPooled: Bool = false, channels: [Int?], from input: Int
    ) throws -> Int {
        var node = input
        if stride > 1, isPooled {
            let pool = Operation.Pool(.average, kernel: .init(stride), stride: .init(stride))
            node = try add("\(name).pool", .pool(pool), node)
        } else if stride > 1 {
            let shape = shape(node)
            let size = Operation.Extent((shape.height - 1) / stride + 1, (shape.width - 1) / stride + 1)
            node = try add("\(name).crop", .crop(.init(step: .init(stride), size: size)), node)
        }
        if channels != Array(0..<shape(node).channels) { node = try add("\(name).select", .select(channels), node) }
        return node
    }

    /// Adds the mean of every channel and a linear layer.
    mutating func addHead(_ name: String, classes: Int, after input: Int) throws -> Int {
        var node = try add("pool", .adaptiveAverage(.one), input)
        node = try add("flatten", .flatten, node)
        return try add(name, .linear(.init(outputs: classes)), [node], isExact: true)
    }
}
