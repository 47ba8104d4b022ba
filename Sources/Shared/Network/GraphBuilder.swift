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

    /// Starts a graph with its image. Throws if the shape is invalid.
    public init(image: Shape) throws {
        _ = try add("image", .image, shape: image)
    }

    /// The shape of an added node.
    public func shape(_ node: Int) -> Shape { nodes[node].shape }

    /// Adds an operation that reads nodes added before, and returns its place. A name in use gets a number, unless
    /// `isExact`; then it throws.
    @discardableResult
    public mutating func add(
        _ name: String, _ operation: Operation, _ inputs: [Int], isExact: Bool = false
    ) throws -> Int {
        let name = isExact ? name : free(name)
        guard inputs.allSatisfy(nodes.indices.contains) else {
            throw Failure(.badInput, "node \(name) reads a node that does not precede it")
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

    /// The graph with a node's outputs, without nodes that nothing reads. Throws if it is not a classifier.
    public func graph(output: Int) throws -> Graph {
        let shape = nodes[output].shape
        guard shape.isVector, output > 0 else {
            throw Failure(
                .badInput,
                "the output, node \(nodes[output].name), has shape \(shape), but one value per class is needed")
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
                throw Failure(.badInput, "node \(node.name) is a softmax but not the last node")
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

    /// Throws if a node's shape is invalid or too large.
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
