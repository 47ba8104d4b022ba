/// VGGs with torchvision's names: `features.N` are 3×3 convolutions, batch norms, activations and poolings; a
/// checkpoint has only those with parameters, and a gap in the numbers is a pooling. `classifier` or `classifier.N` are
/// linear layers with activations between them (and dropout, which does nothing).
enum VGGFamily: ArchitectureFamily {
    static let summary = "VGGs (features.0, …, classifier.0, …)"

    static func matches(_ state: StateDict) -> Bool {
        state.has("features.0.weight") && state["features.0.weight"]?.shape.count == 4
            && state.linearLayers.allSatisfy { $0.hasPrefix("classifier") }
            && state.names.allSatisfy { $0.hasPrefix("features.") || $0.hasPrefix("classifier") }
            && state.names.filter { $0.hasPrefix("features.") }.allSatisfy { $0.split(separator: ".").count == 3 }
    }

    static func graph(of state: StateDict, image: Shape?, hints: CheckpointHints) throws -> Graph {
        let first = try state.convolution("features.0", kernel: 3)
        let linear = state.linearLayers.sorted(by: NaturalOrder.precedes)
        guard let head = linear.first else { throw Failure(.badInput, "tensor classifier.weight is missing") }
        let numbers = state.names.compactMap { name -> Int? in
            let parts = name.split(separator: ".")
            guard parts.count == 3, parts[0] == "features", parts[2] == "weight" else { return nil }
            return state[name]?.shape.count == 4 ? Int(parts[1]) : nil
        }.sorted()

        var builder = try GraphBuilder(
            image: image
                ?? Shape(
                    channels: first.channels, height: linear.count > 1 ? 224 : 32, width: linear.count > 1 ? 224 : 32))
        var node = 0
        for (index, number) in numbers.enumerated() {
            let name = "features.\(number)"
            let norm = "features.\(number + 1)"
            let hasNorm = state.hasNorm(norm)
            node = try builder.addConvolution(name, norm: norm, of: state, hints: hints, kernel: 3, after: node)
            node = try builder.addActivation("\(name).", hints: hints, after: node)
            // Convolution, batch norm and activation have one number each; an extra one is a pooling's.
            let behind = number + (hasNorm ? 3 : 2)
            if index == numbers.count - 1 || numbers[index + 1] == behind + 1 {
                let pool = Operation.Pool(.max, kernel: .init(2), stride: .init(2))
                node = try builder.add("\(name).pool", .pool(pool), node)
            } else if numbers[index + 1] != behind {
                throw Failure(.badInput, "an unknown layer is between \(name) and features.\(numbers[index + 1])")
            }
        }
        node = try builder.add("avgpool", .adaptiveAverage(.init(try side(of: head, state, builder.shape(node)))), node)
        node = try builder.add("flatten", .flatten, node)
        for (index, layer) in linear.enumerated() {
            node = try builder.addLinear(layer, of: state, after: node)
            if index < linear.count - 1 { node = try builder.addActivation("\(layer).", hints: hints, after: node) }
        }
        return try builder.graph(output: node)
    }

    /// Rows and columns of the first linear layer's input.
    private static func side(of layer: String, _ state: StateDict, _ shape: Shape) throws -> Int {
        let (_, inputs) = try state.linear(layer)
        let side = Int((Double(inputs) / Double(shape.channels)).squareRoot().rounded())
        guard side * side * shape.channels == inputs else {
            throw Failure(
                .badInput,
                "tensor \(layer).weight reads \(inputs) values, which is not a square of \(shape.channels) channels")
        }
        return side
    }
}
