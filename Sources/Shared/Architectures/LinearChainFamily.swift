/// Chains of linear layers with an activation between them, with or without batch norms, under any names.
enum LinearChainFamily: ArchitectureFamily {
    static let summary = "chains of linear layers"

    static func matches(_ state: StateDict) -> Bool { !state.isConvolutional && !state.linearLayers.isEmpty }

    /// The layers in the order that the user gives, or in the file's, or in the order of their names if that makes a
    /// chain and the file's does not (safetensors files may list tensors in any order).
    static func graph(of state: StateDict, image: Shape?, hints: CheckpointHints) throws -> Graph {
        var orders = [state.linearLayers, state.linearLayers.sorted(by: NaturalOrder.precedes)]
        if !hints.layerOrder.isEmpty {
            guard hints.layerOrder.sorted() == state.linearLayers.sorted() else {
                throw Failure(
                    .badInput,
                    "--layer-order must name each of \(state.linearLayers.joined(separator: ", ")) once, not "
                        + hints.layerOrder.joined(separator: ", "))
            }
            orders = [hints.layerOrder]
        }
        let order = try orders.first { try isChain($0, state) } ?? orders[0]
        return try LinearChain(layers: try layers(order, state)).graph(
            image: image, activation: hints.activation ?? .relu,
            epsilon: hints.epsilon ?? CheckpointHints.usualEpsilon)
    }

    private static func isChain(_ names: [String], _ state: StateDict) throws -> Bool {
        let layers = try names.map(state.linear)
        return zip(layers, layers.dropFirst()).allSatisfy { $0.outputs == $1.inputs }
    }

    private static func layers(_ names: [String], _ state: StateDict) throws -> [LinearChain.Linear] {
        var norms = state.names.filter { $0.hasSuffix(".running_mean") }.map {
            String($0.dropLast(".running_mean".count))
        }
        .sorted(by: NaturalOrder.precedes)
        return try names.map { name in
            let (outputs, inputs) = try state.linear(name)
            var layer = LinearChain.Linear(
                name: name, input: inputs, output: outputs, hasBias: state.has("\(name).bias"))
            // Batch norms follow the layers in the order of their names, each the next one with its width.
            if name != names.last,
                let index = norms.firstIndex(where: { state["\($0).running_mean"]?.shape == [outputs] })
            {
                layer.norm = norms.remove(at: index)
            }
            return layer
        }
    }
}
