/// A feed-forward network without its parameters: operations on the channels of one image, in topological order.
///
/// The only representation of a network. Shapes, parameters, costs, the filters and their coupling, the result of
/// removal, the engine's plan, training and exports all follow from it. A graph exists only if it is sound:
/// ``GraphBuilder`` makes them and checks every node.
public struct Graph: Sendable, Hashable {
    /// An operation and its inputs.
    public struct Node: Sendable, Hashable {
        /// A unique name; for a layer with parameters, the checkpoint's, for example `layer1.0.conv1`.
        public let name: String
        public let operation: Operation
        /// The nodes it reads, by their places in ``Graph/nodes``; all come before it.
        public let inputs: [Int]
        /// The shape of its output for one image.
        public let shape: Shape
    }

    /// The same type under a name that Foundation does not use.
    public typealias Operation = Shared.Operation

    /// The most nodes of a graph; ResNet-1202 has 4,200.
    public static let nodesMax = 20_000

    /// The operations, each after its inputs. The first is the image, the last makes the outputs; every other one has a
    /// reader.
    public let nodes: [Node]
    /// The readers of every node, ascending.
    public let readers: [[Int]]

    /// Only for ``GraphBuilder``, which has checked the nodes.
    init(checked nodes: [Node]) {
        self.nodes = nodes
        var readers = [[Int]](repeating: [], count: nodes.count)
        for (index, node) in nodes.enumerated() {
            for input in Set(node.inputs) { readers[input].append(index) }
        }
        self.readers = readers
    }

    /// The shape of an image.
    public var imageShape: Shape { nodes[0].shape }

    /// The node that makes the outputs.
    public var output: Int { nodes.count - 1 }

    /// The outputs, one for each class.
    public var classes: Int { nodes[output].shape.channels }

    /// The node whose channels are the logits: the output, or its softmax's input.
    public var logits: Int { nodes[output].operation == .softmax ? nodes[output].inputs[0] : output }

    /// The node of a name, or nil. O(nodes).
    public func node(named name: String) -> Node? { nodes.first { $0.name == name } }

    /// The shape of a node's first input.
    public func inputShape(of node: Node) -> Shape { nodes[node.inputs[0]].shape }

    /// Whether a node is a convolution or a linear layer.
    public func isLayer(_ index: Int) -> Bool {
        switch nodes[index].operation {
        case .convolution, .linear: true
        default: false
        }
    }

    /// Whether a node is a layer without a batch norm after it, and not the one that outputs the logits.
    public func lacksBatchNorm(_ index: Int) -> Bool {
        guard isLayer(index), index != logits else { return false }
        guard readers[index].count == 1, case .batchNorm = nodes[readers[index][0]].operation else { return true }
        return false
    }

    /// Whether a node is a convolution or linear layer whose outputs mix the channels it reads.
    public func mixesChannels(_ node: Node) -> Bool {
        guard let first = node.inputs.first else { return false }
        return node.operation.mixesChannels(of: nodes[first].shape.channels)
    }
}

extension Graph {
    /// A tensor that a node needs.
    public struct Parameter: Sendable, Hashable {
        /// The role of a parameter in its node. The raw value is the last part of its name in PyTorch.
        public enum Role: String, Sendable, CaseIterable {
            case weight
            case bias
            case runningMean = "running_mean"
            case runningVariance = "running_var"

            /// Whether training changes it by gradients.
            public var isTrained: Bool { self == .weight || self == .bias }
        }

        /// The node's place in ``Graph/nodes``.
        public let node: Int
        public let role: Role
        /// The node's name, a dot and the role: `layer1.0.bn1.running_mean`.
        public let name: String
        public let shape: [Int]
    }

    /// Every parameter and statistic, in the order of the nodes.
    public var parameters: [Parameter] { nodes.indices.flatMap(parameters(of:)) }

    /// The parameters and statistics of a node.
    public func parameters(of index: Int) -> [Parameter] {
        let node = nodes[index]
        func parameter(_ role: Parameter.Role, _ shape: [Int]) -> Parameter {
            Parameter(node: index, role: role, name: "\(node.name).\(role.rawValue)", shape: shape)
        }
        let channels = node.shape.channels
        switch node.operation {
        case .convolution(let convolution):
            let read = inputShape(of: node).channels / convolution.groups
            let weight = parameter(
                .weight, [convolution.filters, read, convolution.kernel.height, convolution.kernel.width])
            return convolution.hasBias ? [weight, parameter(.bias, [channels])] : [weight]
        case .linear(let linear):
            let weight = parameter(.weight, [linear.outputs, inputShape(of: node).channels])
            return linear.hasBias ? [weight, parameter(.bias, [channels])] : [weight]
        case .batchNorm: return Parameter.Role.allCases.map { parameter($0, [channels]) }
        case .affine: return [parameter(.weight, [channels]), parameter(.bias, [channels])]
        case .activation(.prelu): return [parameter(.weight, [channels])]
        default: return []
        }
    }
}
