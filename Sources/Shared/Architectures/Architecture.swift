/// The families that training and least squares know so far.
public enum Architecture: Sendable, Equatable {
    case residual(CIFARResNet)
    case fullyConnected(LinearChain)

    /// Recognises a graph. Throws a `.badInput` ``Failure`` where it is of another family.
    public init(_ graph: Graph, for purpose: String) throws {
        if let chain = LinearChain(graph) {
            self = .fullyConnected(chain)
        } else if let residual = CIFARResNet(graph) {
            self = .residual(residual)
        } else {
            throw Failure(
                .badInput,
                "\(purpose) knows CIFAR ResNets with parameter-free shortcuts and chains of linear layers so far, not "
                    + "this network of \(graph.nodes.count) nodes")
        }
    }
}

extension CIFARResNet {
    /// The description of a graph, or nil where it is another one.
    init?(_ graph: Graph) {
        guard let stem = graph.node(named: "conv1"), let last = graph.nodes.last, case .linear = last.operation else {
            return nil
        }
        self.init(
            imageSize: graph.imageShape.height, imageChannels: graph.imageShape.channels, stem: stem.shape.channels,
            blocks: [], classes: graph.classes, head: last.name)
        var stream = stem.shape
        for node in graph.nodes where node.operation == .add {
            guard node.name.hasSuffix(".add") else { return nil }
            let name = String(node.name.dropLast(4))
            guard let first = graph.node(named: "\(name).conv1"), let second = graph.node(named: "\(name).conv2"),
                case .convolution(let convolution) = first.operation
            else { return nil }
            var map: [Int?] = Array(0..<stream.channels)
            if case .select(let channels)? = graph.node(named: "\(name).add.select")?.operation { map = channels }
            guard map.count == second.shape.channels else { return nil }
            blocks.append(
                Block(
                    name: name, stride: convolution.stride.height, input: stream.channels,
                    hidden: first.shape.channels, output: second.shape.channels, shortcut: map))
            stream = second.shape
        }
        guard let rebuilt = try? self.graph(), rebuilt == graph else { return nil }
    }
}

extension LinearChain {
    /// The description of a graph, or nil where it is another one.
    init?(_ graph: Graph) {
        let layers = graph.nodes.compactMap { node -> Linear? in
            guard case .linear(let linear) = node.operation else { return nil }
            return Linear(
                name: node.name, input: graph.inputShape(of: node).channels, output: linear.outputs,
                hasBias: linear.hasBias)
        }
        self.init(layers: layers)
        guard layers.allSatisfy(\.hasBias), let rebuilt = try? self.graph(image: graph.imageShape), rebuilt == graph
        else { return nil }
    }
}

extension Network {
    /// The epsilon of these families' batch norms, PyTorch's default.
    public static let batchNormEpsilon: Float = 1e-5
}

extension Architecture {
    /// Its graph.
    public var graph: Graph {
        get throws {
            switch self {
            case .residual(let residual): try residual.graph()
            case .fullyConnected(let chain): try chain.graph()
            }
        }
    }
}
