/// Makes a ``Graph`` node by node, and checks every one of them.
///
/// Errors are `.badInput` ``Failure``s that name the node and say what does not fit.
public struct GraphBuilder {
    /// The most values of one activation: more than any network in use has, and small enough that no sum of sizes
    /// overflows.
    static let valuesMax = 1 << 31
    /// The largest kernel, stride, padding or dilation.
    static let extentMax = 1 << 12

    private var nodes: [Graph.Node] = []
    private var names: Set<String> = []

    /// Begins a graph with its image. Throws where the shape is not one.
    public init(image: Shape) throws {
        _ = try add("image", .image, shape: image)
    }

    /// The shape of a node that was added.
    public func shape(_ node: Int) -> Shape { nodes[node].shape }

    /// Adds an operation that reads nodes which were added before, and returns its place. A name that is taken gets a
    /// number, unless `isExact`; then it throws.
    @discardableResult
    public mutating func add(
        _ name: String, _ operation: Operation, _ inputs: [Int], isExact: Bool = false
    ) throws -> Int {
        let name = isExact ? name : free(name)
        guard inputs.allSatisfy(nodes.indices.contains) else {
            throw Failure(.badInput, "node \(name) reads a node that does not come before it")
        }
        let shape: Shape
        do {
            shape = try operation.outputShape(of: inputs.map { nodes[$0].shape })
        } catch let failure as Failure {
            throw Failure(failure.kind, "node \(name) (\(operation.kindName)): \(failure.description)")
        }
        return try add(name, operation, inputs, shape: shape)
    }

    /// Adds an operation after one node.
    @discardableResult
    public mutating func add(_ name: String, _ operation: Operation, _ input: Int) throws -> Int {
        try add(name, operation, [input])
    }

    /// The graph whose outputs a node makes; nodes that nothing reads are left out. Throws where it is no classifier.
    public func graph(output: Int) throws -> Graph {
        let shape = nodes[output].shape
        guard shape.isVector, output > 0 else {
            throw Failure(
                .badInput,
                "the output, node \(nodes[output].name), has shape \(shape) where a value for each class is needed")
        }
        var isNeeded = [Bool](repeating: false, count: nodes.count)
        isNeeded[0] = true
        isNeeded[output] = true
        for index in (0...output).reversed() where isNeeded[index] {
            for input in nodes[index].inputs { isNeeded[input] = true }
        }
        var places = [Int](repeating: 0, count: nodes.count)
        var kept: [Graph.Node] = []
        for (index, node) in nodes.enumerated() where isNeeded[index] {
            places[index] = kept.count
            guard node.operation != .softmax || index == output else {
                throw Failure(.badInput, "node \(node.name) is a softmax that is not the last node")
            }
            kept.append(
                Graph.Node(
                    name: node.name, operation: node.operation, inputs: node.inputs.map { places[$0] },
                    shape: node.shape))
        }
        let graph = Graph(checked: kept)
        guard !graph.readers[0].isEmpty else {
            throw Failure(.badInput, "the output, node \(nodes[output].name), does not depend on the image")
        }
        return graph
    }

    private mutating func add(_ name: String, _ operation: Operation, _ inputs: [Int] = [], shape: Shape) throws -> Int
    {
        guard nodes.count < Graph.nodesMax else {
            throw Failure(.badInput, "there are more than \(Graph.nodesMax) nodes")
        }
        try Self.check(shape, of: name)
        guard names.insert(name).inserted else { throw Failure(.badInput, "two nodes have the name \(name)") }
        nodes.append(Graph.Node(name: name, operation: operation, inputs: inputs, shape: shape))
        return nodes.count - 1
    }

    /// Throws where a node's shape is none, or too large.
    static func check(_ shape: Shape, of name: String) throws {
        guard shape.channels > 0, shape.height > 0, shape.width > 0 else {
            throw Failure(.badInput, "node \(name) would have shape \(shape); is the image too small for the network?")
        }
        let (pixels, overflows) = shape.height.multipliedReportingOverflow(by: shape.width)
        let (count, overflowsToo) = pixels.multipliedReportingOverflow(by: shape.channels)
        guard !overflows, !overflowsToo, count <= valuesMax else {
            throw Failure(.badInput, "node \(name) would have shape \(shape), more than \(valuesMax) values")
        }
    }

    private func free(_ name: String) -> String {
        let base = name.isEmpty ? "node" : name
        var candidate = base
        var number = 1
        while names.contains(candidate) {
            number += 1
            candidate = "\(base)_\(number)"
        }
        return candidate
    }
}

extension Operation {
    /// The shape of what it makes of inputs of these shapes. Throws a `.badInput` ``Failure`` where they, or its
    /// attributes, do not fit.
    func outputShape(of inputs: [Shape]) throws -> Shape {
        try check(numberOfInputs: inputs.count)
        guard let input = inputs.first else { throw Failure(.badInput, "an image cannot be added") }
        switch self {
        case .image: throw Failure(.badInput, "a graph has one image")
        case .convolution(let convolution): return try convolution.outputShape(of: input)
        case .linear(let linear):
            guard input.isVector else {
                throw Failure(.badInput, "a linear layer reads a vector, not \(input); flatten it first")
            }
            return Shape(vector: linear.outputs)
        case .batchNorm(let epsilon):
            guard epsilon > 0, epsilon.isFinite else { throw Failure(.badInput, "epsilon \(epsilon) is not positive") }
            return input
        case .affine: return input
        case .activation(let activation):
            try activation.check()
            return input
        case .add, .multiply: return try Self.broadcast(inputs)
        case .concatenate:
            var result = input
            for other in inputs.dropFirst() {
                guard other.height == input.height, other.width == input.width else {
                    throw Failure(.badInput, "\(input) and \(other) cannot be concatenated")
                }
                result.channels += other.channels
            }
            return result
        case .pool(let pool): return try pool.outputShape(of: input)
        case .adaptiveAverage(let size):
            try Self.check(size, "size")
            return Shape(channels: input.channels, height: size.height, width: size.width)
        case .flatten: return Shape(vector: input.count)
        case .select(let channels):
            if let bad = channels.lazy.compactMap({ $0 }).first(where: { !(0..<input.channels).contains($0) }) {
                throw Failure(.badInput, "there is no channel \(bad) in \(input)")
            }
            return Shape(channels: channels.count, height: input.height, width: input.width)
        case .crop(let crop):
            try Self.check(crop.step, "step")
            try Self.check(crop.size, "size")
            guard crop.top >= 0, crop.left >= 0,
                crop.top + (crop.size.height - 1) * crop.step.height < input.height,
                crop.left + (crop.size.width - 1) * crop.step.width < input.width
            else { throw Failure(.badInput, "the part reaches beyond \(input)") }
            return Shape(channels: input.channels, height: crop.size.height, width: crop.size.width)
        case .pad(let insets):
            try Self.check(insets)
            return Shape(
                channels: input.channels, height: insets.top + input.height + insets.bottom,
                width: insets.left + input.width + insets.right)
        case .softmax:
            guard input.isVector else { throw Failure(.badInput, "a softmax reads a vector, not \(input)") }
            return input
        }
    }

    private func check(numberOfInputs count: Int) throws {
        let allowed: ClosedRange<Int> =
            switch self {
            case .image: 0...0
            case .add: 2...Graph.nodesMax
            case .multiply: 2...2
            case .concatenate: 1...Graph.nodesMax
            default: 1...1
            }
        guard allowed.contains(count) else {
            throw Failure(.badInput, "it reads \(count) nodes where \(allowed.lowerBound) are needed")
        }
    }

    private static func broadcast(_ inputs: [Shape]) throws -> Shape {
        let result = Shape(
            channels: inputs.map(\.channels).max() ?? 0, height: inputs.map(\.height).max() ?? 0,
            width: inputs.map(\.width).max() ?? 0)
        for input in inputs {
            guard input.channels == result.channels || input.channels == 1,
                input.pixels == 1 || (input.height == result.height && input.width == result.width)
            else { throw Failure(.badInput, "\(inputs[0]) and \(input) cannot be combined") }
        }
        return result
    }

    fileprivate static func check(_ extent: Extent, _ what: String) throws {
        guard (1...GraphBuilder.extentMax).contains(extent.height), (1...GraphBuilder.extentMax).contains(extent.width)
        else {
            throw Failure(
                .badInput, "\(what) \(extent.height) × \(extent.width) is not from 1 to \(GraphBuilder.extentMax)")
        }
    }

    fileprivate static func check(_ insets: Insets) throws {
        for inset in [insets.top, insets.left, insets.bottom, insets.right]
        where !(0...GraphBuilder.extentMax).contains(inset) {
            throw Failure(.badInput, "a padding of \(inset) is not from 0 to \(GraphBuilder.extentMax)")
        }
    }
}

extension Operation.Convolution {
    /// The shape of its output. Throws where its attributes do not fit.
    fileprivate func outputShape(of input: Shape) throws -> Shape {
        try Operation.check(kernel, "kernel")
        try Operation.check(stride, "stride")
        try Operation.check(dilation, "dilation")
        try Operation.check(padding)
        guard filters > 0 else { throw Failure(.badInput, "it has no filters") }
        guard groups > 0, input.channels % groups == 0, filters % groups == 0 else {
            throw Failure(.badInput, "\(groups) groups do not divide \(input.channels) channels and \(filters) filters")
        }
        return Shape(
            channels: filters,
            height: windows(
                input.height, kernel.height, stride.height, dilation.height, padding.top + padding.bottom),
            width: windows(input.width, kernel.width, stride.width, dilation.width, padding.left + padding.right))
    }
}

extension Operation.Pool {
    /// The shape of its output. Throws where its attributes do not fit.
    fileprivate func outputShape(of input: Shape) throws -> Shape {
        try Operation.check(kernel, "kernel")
        try Operation.check(stride, "stride")
        try Operation.check(dilation, "dilation")
        try Operation.check(padding)
        guard kind == .max || dilation == .one else { throw Failure(.badInput, "a mean of a dilated window") }
        guard max(padding.top, padding.bottom) < (kernel.height - 1) * dilation.height + 1,
            max(padding.left, padding.right) < (kernel.width - 1) * dilation.width + 1
        else { throw Failure(.badInput, "its padding is as wide as its window") }
        return Shape(
            channels: input.channels,
            height: count(input.height, kernel.height, stride.height, dilation.height, padding.top, padding.bottom),
            width: count(input.width, kernel.width, stride.width, dilation.width, padding.left, padding.right))
    }

    private func count(_ size: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ before: Int, _ after: Int) -> Int {
        let whole = windows(size, kernel, stride, dilation, before + after)
        guard coversEnd else { return whole }
        let rest = size + before + after - ((kernel - 1) * dilation + 1)
        guard rest >= 0 else { return 0 }
        // A window that would begin in the padding behind the channel does not count, as in PyTorch.
        let rounded = (rest + stride - 1) / stride + 1
        return (rounded - 1) * stride >= size + before ? rounded - 1 : rounded
    }
}

extension Operation.Activation {
    /// Throws where an attribute is not a number that makes sense.
    fileprivate func check() throws {
        let numbers: [Double] =
            switch self {
            case .leakyReLU(let slope): [slope]
            // A bound may be infinite.
            case .clip(let lowest, let highest): [lowest <= highest ? 0 : .nan]
            case .hardSigmoid(let slope, let offset): [slope, offset]
            case .elu(let alpha): [alpha]
            default: []
            }
        guard numbers.allSatisfy(\.isFinite) else { throw Failure(.badInput, "its attributes are not finite numbers") }
    }
}

/// The positions of a window of `kernel` values that lie `dilation` apart, within a row with its padding.
private func windows(_ size: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ padding: Int) -> Int {
    let rest = size + padding - ((kernel - 1) * dilation + 1)
    return rest < 0 ? 0 : rest / stride + 1
}
