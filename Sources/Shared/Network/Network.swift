/// A trained network: its graph and its parameters.
///
/// Parameter names are those of ``Graph/Parameter``: the node's name, and PyTorch's name of the parameter.
public struct Network: Sendable, Equatable {
    /// Operations and shapes.
    public let graph: Graph
    /// Every parameter and every batch-norm statistic, by name. Complete and of the graph's shapes.
    public let parameters: [String: Tensor]
    /// What else is known about it.
    public var facts: NetworkFacts

    /// Makes a network. `parameters` must hold exactly what the graph needs; readers of checkpoints check that.
    public init(graph: Graph, parameters: [String: Tensor], facts: NetworkFacts = NetworkFacts()) {
        self.graph = graph
        self.parameters = parameters
        self.facts = facts
    }

    /// A parameter that the graph guarantees.
    public subscript(name: String) -> Tensor {
        guard let tensor = parameters[name] else { preconditionFailure("the network has no parameter \(name)") }
        return tensor
    }
}
