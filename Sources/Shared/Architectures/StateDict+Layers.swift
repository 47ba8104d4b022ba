extension StateDict {
    /// Whether some tensor has four dimensions or more.
    var isConvolutional: Bool { names.contains { (self[$0]?.shape.count ?? 0) > 2 } }

    /// The tensors that are matrices called `….weight`, without that ending.
    var linearLayers: [String] {
        names.filter { $0.hasSuffix(".weight") && self[$0]?.shape.count == 2 }
            .map { String($0.dropLast(".weight".count)) }
    }

    /// Whether a tensor is there.
    func has(_ name: String) -> Bool { self[name] != nil }

    /// Whether there is a batch norm of that name.
    func hasNorm(_ name: String) -> Bool {
        has("\(name).running_mean") || has("\(name).running_var") || self["\(name).weight"]?.shape.count == 1
    }

    /// The first two extents of a weight with this many dimensions, and its kernel. Throws if it is missing or has
    /// another form.
    func weight(
        _ layer: String, dimensions: Int, form: String
    ) throws -> (output: Int, input: Int, kernel: [Int]) {
        let name = "\(layer).weight"
        guard let tensor = self[name] else {
            throw Failure(.badInput, "tensor \(name) is missing (expected shape \(form))")
        }
        let shape = tensor.shape
        guard shape.count == dimensions, shape.allSatisfy({ $0 > 0 }) else {
            throw Failure(.badInput, "tensor \(name) has shape \(shape), but \(form) is needed")
        }
        return (shape[0], shape[1], Array(shape.dropFirst(2)))
    }

    /// A convolution's filters, channels (of one group) and kernel, which must be square.
    func convolution(_ layer: String, kernel: Int? = nil) throws -> (filters: Int, channels: Int, kernel: Int) {
        let size = kernel.map(String.init) ?? "k"
        let form = "[filters, channels, \(size), \(size)]"
        let (filters, channels, extents) = try weight(layer, dimensions: 4, form: form)
        guard extents[0] == extents[1], extents[0] == kernel ?? extents[0] else {
            throw Failure(
                .badInput, "tensor \(layer).weight has shape \([filters, channels] + extents), but \(form) is needed")
        }
        return (filters, channels, extents[0])
    }

    /// A linear layer's outputs and inputs.
    func linear(_ layer: String) throws -> (outputs: Int, inputs: Int) {
        let (outputs, inputs, _) = try weight(layer, dimensions: 2, form: "[outputs, inputs]")
        return (outputs, inputs)
    }
}

extension GraphBuilder {
    /// Adds a convolution of a checkpoint, with a bias if it has one, and its batch norm if that is there.
    mutating func addConvolution(
        _ name: String, norm: String, of state: StateDict, hints: CheckpointHints, kernel: Int? = nil, stride: Int = 1,
        padding: Int? = nil, after input: Int
    ) throws -> Int {
        let (filters, channels, size) = try state.convolution(name, kernel: kernel)
        let read = shape(input).channels
        guard read % channels == 0 else {
            throw Failure(
                .badInput,
                "tensor \(name).weight reads \(channels) channels, but gets \(read)")
        }
        let convolution = Operation.Convolution(
            filters: filters, kernel: .init(size), stride: .init(stride), padding: .init(padding ?? size / 2),
            groups: read / channels, hasBias: state.has("\(name).bias"))
        let node = try add(name, .convolution(convolution), [input], isExact: true)
        guard state.hasNorm(norm) else { return node }
        return try add(norm, .batchNorm(epsilon: hints.epsilon ?? CheckpointHints.usualEpsilon), [node], isExact: true)
    }

    /// Adds the activation that the user names, or ReLU, under a name with this prefix.
    mutating func addActivation(_ prefix: String, hints: CheckpointHints, number: String = "", after input: Int) throws
        -> Int
    {
        let activation = hints.activation ?? .relu
        return try add(prefix + activation.kindName + number, .activation(activation), input)
    }

    /// Adds a linear layer of a checkpoint.
    mutating func addLinear(_ name: String, of state: StateDict, after input: Int) throws -> Int {
        let (outputs, _) = try state.linear(name)
        return try add(
            name, .linear(.init(outputs: outputs, hasBias: state.has("\(name).bias"))), [input], isExact: true)
    }
}
