extension Onnx {
    /// The graph while it is read: nodes in the order they were found, including those replaced by simpler ones. The
    /// nodes that the output needs become a ``Graph``.
    struct Draft {
        /// What a node does: an operation of graphs, or a part of one that is only recognised as a whole.
        enum Kind {
            case operation(Operation)
            /// `scale · x + shift`, with one number each or one per channel.
            case affine(scale: [Double], shift: [Double])
            /// The error function, a part of GELU.
            case erf
            /// A power, a part of GELU's approximation.
            case power(Double)
            /// Logarithms of class probabilities.
            case logSoftmax
        }

        /// The file's node it comes from.
        struct Origin {
            /// For messages.
            var label: String
            /// The best name found.
            var name: String
        }

        struct Node {
            let kind: Kind
            let inputs: [Int]
            let shape: Shape
            let origin: Origin
            var parameters: [Graph.Parameter.Role: Tensor] = [:]
        }

        private(set) var nodes: [Node]

        /// A draft of a network for such images.
        init(image: Shape) {
            nodes = [
                Node(kind: .operation(.image), inputs: [], shape: image, origin: Origin(label: "image", name: "image"))
            ]
        }

        /// A node's operation, if it is one of a graph's.
        func operation(_ node: Int) -> Operation? {
            if case .operation(let operation) = nodes[node].kind { operation } else { nil }
        }

        func shape(_ node: Int) -> Shape { nodes[node].shape }

        /// Adds an operation. Throws if it does not fit its inputs.
        mutating func add(
            _ operation: Operation, _ inputs: [Int], _ origin: Origin,
            _ parameters: [Graph.Parameter.Role: Tensor] = [:]
        ) throws -> Int {
            do {
                let shape = try operation.outputShape(of: inputs.map { nodes[$0].shape })
                try GraphBuilder.check(shape, of: origin.name)
                return try add(
                    Node(
                        kind: .operation(operation), inputs: inputs, shape: shape, origin: origin,
                        parameters: parameters))
            } catch let failure as Failure {
                throw Failure(failure.kind, "node \(origin.label): \(failure.description)")
            }
        }

        /// Adds a function of each value.
        mutating func add(_ activation: Operation.Activation, _ input: Int, _ origin: Origin) throws -> Int {
            try add(.activation(activation), [input], origin)
        }

        /// Adds a part of an operation, which keeps the shape.
        mutating func add(part kind: Kind, _ input: Int, _ origin: Origin) throws -> Int {
            try add(Node(kind: kind, inputs: [input], shape: nodes[input].shape, origin: origin))
        }

        private mutating func add(_ node: Node) throws -> Int {
            // Every node of the file makes a few here; replaced ones are dropped.
            guard nodes.count < 4 * Graph.nodesMax else {
                throw Failure(.badInput, "there are more than \(Graph.nodesMax) nodes")
            }
            nodes.append(node)
            return nodes.count - 1
        }
    }
}

extension Onnx.Draft {
    /// The nodes that the output needs, as a graph, and their parameters by name.
    func network(output: Int) throws -> (graph: Graph, parameters: [String: Tensor]) {
        var isNeeded = [Bool](repeating: false, count: nodes.count)
        isNeeded[0] = true
        isNeeded[output] = true
        for index in nodes.indices.reversed() where isNeeded[index] {
            for input in nodes[index].inputs { isNeeded[input] = true }
        }
        let needed = nodes.indices.filter { isNeeded[$0] }
        let names = uniqueNames(of: needed)

        var builder = try GraphBuilder(image: nodes[0].shape)
        var places = [0: 0]
        var tensors: [Int: [Graph.Parameter.Role: Tensor]] = [:]
        for index in needed.dropFirst() {
            let node = nodes[index]
            let inputs = node.inputs.compactMap { places[$0] }
            let (operation, parameters) = try final(node)
            let place = try builder.add(names[index] ?? "node", operation, inputs, isExact: true)
            places[index] = place
            tensors[place] = parameters
        }
        guard let place = places[output], place > 0 else {
            throw Failure(.badInput, "the output does not depend on the image")
        }
        let graph = try builder.graph(output: place)
        return (graph, try parameters(of: graph, tensors))
    }

    /// A node's operation and parameters. Throws if it is only a part of one.
    private func final(_ node: Node) throws -> (Operation, [Graph.Parameter.Role: Tensor]) {
        switch node.kind {
        case .operation(let operation): return (operation, node.parameters)
        case .affine(let scale, let shift):
            let channels = node.shape.channels
            func tensor(_ numbers: [Double]) -> Tensor {
                let values = numbers.count == 1 ? Array(repeating: numbers[0], count: channels) : numbers
                return Tensor(shape: [channels], values: values.map(Float.init))
            }
            return (.affine, [.weight: tensor(scale), .bias: tensor(shift)])
        case .erf, .power, .logSoftmax:
            throw Failure(
                .badInput,
                "node \(node.origin.label): the operator is supported only as part of GELU or at the end of "
                    + "the network; use an activation that is a PyTorch module")
        }
    }

    private func parameters(
        of graph: Graph, _ tensors: [Int: [Graph.Parameter.Role: Tensor]]
    ) throws -> [String: Tensor] {
        var parameters: [String: Tensor] = [:]
        var total = 0
        for parameter in graph.parameters {
            guard let tensor = tensors[parameter.node]?[parameter.role], tensor.shape == parameter.shape else {
                throw Failure(.badInput, "tensor \(parameter.name) does not have the shape \(parameter.shape)")
            }
            total += tensor.values.count
            guard total <= Checkpoint.parametersMax else {
                throw Failure(.badInput, "the network has more than \(Checkpoint.parametersMax) parameters")
            }
            if let bad = tensor.values.first(where: { !$0.isFinite }) {
                throw Failure(
                    .badInput, "tensor \(parameter.name) holds \(bad); did the training diverge?")
            }
            if parameter.role == .runningVariance, let bad = tensor.values.first(where: { $0 < 0 }) {
                throw Failure(.badInput, "tensor \(parameter.name) holds \(bad), and a variance cannot be negative")
            }
            parameters[parameter.name] = tensor
        }
        return parameters
    }

    /// A unique name for each node; layers choose before operations without parameters.
    private func uniqueNames(of needed: [Int]) -> [Int: String] {
        var taken: Set<String> = ["image"]
        var names: [Int: String] = [:]
        func name(_ index: Int) {
            let base = nodes[index].origin.name
            var candidate = base
            var number = 1
            while !taken.insert(candidate).inserted {
                number += 1
                candidate = "\(base)_\(number)"
            }
            names[index] = candidate
        }
        let (layers, others) = (
            needed.filter { !nodes[$0].parameters.isEmpty }, needed.filter { nodes[$0].parameters.isEmpty }
        )
        for index in layers + others.dropFirst() { name(index) }
        return names
    }
}
