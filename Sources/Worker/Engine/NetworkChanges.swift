import Shared

/// A network to change norms and layers in, channel by channel.
struct NetworkChanges {
    private let original: Network
    private var parameters: [String: [Float]] = [:]
    private var newBiases: Set<Int> = []

    init(_ original: Network) { self.original = original }

    /// Sets the running statistics of a batch norm's channel.
    mutating func setStatistics(_ node: Int, channel: Int, _ statistics: ChannelStatistics) {
        let name = original.graph.nodes[node].name
        change("\(name).running_mean") { $0[channel] = Float(statistics.mean) }
        change("\(name).running_var") { $0[channel] = Float(statistics.variance) }
    }

    /// Makes a layer's filter output `scale * y + shift` instead of `y`, before its bias.
    mutating func setOutput(_ node: Int, filter: Int, scale: Double, shift: Double) {
        let name = original.graph.nodes[node].name
        let filters = original.graph.nodes[node].shape.channels
        change("\(name).weight") { values in
            let size = values.count / filters
            for index in filter * size..<(filter + 1) * size { values[index] = Float(Double(values[index]) * scale) }
        }
        if original.parameters["\(name).bias"] == nil, newBiases.insert(node).inserted {
            parameters["\(name).bias"] = Array(repeating: 0, count: filters)
        }
        change("\(name).bias") { $0[filter] = Float(shift) }
    }

    private mutating func change(_ name: String, _ body: (inout [Float]) -> Void) {
        var values = parameters[name] ?? original[name].values
        parameters[name] = nil
        body(&values)
        parameters[name] = values
    }

    /// The changed network. Layers that had no bias may have one now.
    func network() throws -> Network {
        let graph = newBiases.isEmpty ? original.graph : try original.graph.addingBiases(to: newBiases)
        var tensors = original.parameters
        for parameter in graph.parameters {
            if let values = parameters[parameter.name] {
                tensors[parameter.name] = Tensor(shape: parameter.shape, values: values)
            }
        }
        return Network(graph: graph, parameters: tensors, facts: original.facts)
    }
}
