/// Finds out from the names and shapes of a checkpoint's tensors which network it is.
struct ArchitectureRecognition {
    /// The most stages of a residual network: each halves the image, 32 → 1.
    static let stagesMax = 6

    private let state: StateDict

    init(_ state: StateDict) { self.state = state }

    /// The architecture. Throws a `.badInput` ``Failure`` that names the tensor that does not fit. Every tensor that
    /// the architecture needs is there with its shape, and no other.
    func architecture() throws -> Architecture {
        guard !state.names.isEmpty else { throw Failure(.badInput, "holds no tensors") }
        let architecture: Architecture
        if state.names.contains(where: { $0.hasPrefix("layer1.0.") && $0.hasSuffix(".weight") }), isConvolutional {
            architecture = .residual(try residual())
        } else if !isConvolutional, state.names.contains(where: { isWeight($0, dimensions: 2) }) {
            architecture = .fullyConnected(try fullyConnected())
        } else {
            let shapes = state.names.prefix(3).map { "\($0) \(state[$0]?.shape ?? [])" }.joined(separator: ", ")
            throw Failure(
                .badInput,
                "an unknown architecture, which begins with \(shapes); Winnow reads CIFAR-10 ResNets with "
                    + "parameter-free shortcuts (conv1, bn1, layer1.0.conv1, …, linear) and chains of linear layers")
        }
        try check(against: architecture)
        return architecture
    }

    private var isConvolutional: Bool { state.names.contains { (state[$0]?.shape.count ?? 0) > 2 } }

    private func isWeight(_ name: String, dimensions: Int) -> Bool {
        name.hasSuffix(".weight") && state[name]?.shape.count == dimensions
    }

    /// The first two extents of a weight whose others are as given. Throws where it is missing or of another form.
    private func extents(_ name: String, _ form: String, kernel: [Int]) throws -> (output: Int, input: Int) {
        guard let tensor = state[name] else {
            throw Failure(.badInput, "tensor \(name) is missing (expected shape \(form))")
        }
        let shape = tensor.shape
        guard shape.count == 2 + kernel.count, Array(shape.dropFirst(2)) == kernel, shape[0] > 0, shape[1] > 0 else {
            throw Failure(.badInput, "tensor \(name) has shape \(shape) where \(form) is needed")
        }
        return (shape[0], shape[1])
    }

    private func convolution(_ name: String) throws -> (output: Int, input: Int) {
        try extents(name, "[filters, channels, 3, 3]", kernel: [3, 3])
    }

    private func linear(_ name: String) throws -> (output: Int, input: Int) {
        try extents(name, "[outputs, inputs]", kernel: [])
    }

    // MARK: Residual networks

    private func residual() throws -> ResidualArchitecture {
        if let other = state.names.first(where: { $0.contains(".shortcut.") || $0.contains(".downsample.") }) {
            throw Failure(
                .badInput,
                "tensor \(other) belongs to a shortcut with parameters; Winnow reads ResNets with parameter-free "
                    + "shortcuts (option A of He et al. 2016), whose every second pixel is padded with zero channels")
        }
        if let other = state.names.first(where: { $0.hasSuffix(".conv3.weight") }) {
            throw Failure(
                .badInput, "tensor \(other) belongs to a bottleneck block; Winnow reads blocks of two convolutions")
        }
        let maps = try state.metadata[ShortcutMaps.key].map(ShortcutMaps.read) ?? [:]
        let stem = try convolution("conv1.weight").output
        var blocks: [ResidualArchitecture.Block] = []
        for (stage, count) in try blocksPerStage().enumerated() {
            for index in 0..<count {
                blocks.append(
                    try block(
                        "layer\(stage + 1).\(index)", stride: stage > 0 && index == 0 ? 2 : 1,
                        input: blocks.last?.output ?? stem, maps: maps))
            }
        }
        if let unknown = maps.keys.sorted().first(where: { name in !blocks.contains { $0.name == name } }) {
            throw Failure(.badInput, "\(ShortcutMaps.key) in its metadata names block \(unknown), which is not there")
        }
        return ResidualArchitecture(stem: stem, blocks: blocks, classes: try linear("linear.weight").output)
    }

    /// How many blocks each stage has, from the names of their tensors.
    private func blocksPerStage() throws -> [Int] {
        let names = Set(state.names.map { $0.split(separator: ".").prefix(2).joined(separator: ".") })
        var counts: [Int] = []
        while true {
            var count = 0
            while names.contains("layer\(counts.count + 1).\(count)") { count += 1 }
            if count == 0 { return counts }
            counts.append(count)
            guard counts.count <= Self.stagesMax else {
                throw Failure(.badInput, "has more than \(Self.stagesMax) stages (layer1 to layer\(Self.stagesMax))")
            }
        }
    }

    private func block(
        _ name: String, stride: Int, input: Int, maps: [String: [Int?]]
    ) throws -> ResidualArchitecture.Block {
        let hidden = try convolution("\(name).conv1.weight").output
        let output = try convolution("\(name).conv2.weight").output
        let shortcut: [Int?]
        if let map = maps[name] {
            guard map.count == output, map.allSatisfy({ $0 == nil || (0..<input).contains($0 ?? 0) }) else {
                throw Failure(
                    .badInput,
                    "\(ShortcutMaps.key) in its metadata does not map the \(output) channels of \(name) to its \(input) "
                        + "inputs")
            }
            shortcut = map
        } else if let map = ShortcutMaps.published(stride: stride, input: input, output: output) {
            shortcut = map
        } else {
            throw Failure(
                .badInput,
                "tensor \(name).conv2.weight has \(output) filters where \(input) channels come in by the shortcut, and "
                    + "there is no \(ShortcutMaps.key) in the metadata to map them")
        }
        return ResidualArchitecture.Block(
            name: name, stride: stride, input: input, hidden: hidden, output: output, shortcut: shortcut)
    }

    // MARK: Fully connected networks

    /// The layers in the file's order, or in the order of their names where that makes a chain and the file's does not
    /// (safetensors files may list tensors in any order).
    private func fullyConnected() throws -> FullyConnectedArchitecture {
        let weights = state.names.filter { isWeight($0, dimensions: 2) }
        let layers = try weights.map { name in
            let (output, input) = try linear(name)
            return FullyConnectedArchitecture.Linear(
                name: String(name.dropLast(".weight".count)), input: input, output: output)
        }
        let chains = [layers, layers.sorted { Self.naturalOrder($0.name, $1.name) }]
        guard let chain = chains.first(where: { Self.firstMismatch($0) == nil }) else {
            throw Failure(.badInput, Self.firstMismatch(layers) ?? "")
        }
        return FullyConnectedArchitecture(layers: chain)
    }

    /// What breaks a chain from the first layer's inputs to the last one's outputs, or nil.
    private static func firstMismatch(_ layers: [FullyConnectedArchitecture.Linear]) -> String? {
        var inputs = layers.first?.input
        for layer in layers {
            if let inputs, layer.input != inputs {
                return "tensor \(layer.name).weight has shape [\(layer.output), \(layer.input)] where "
                    + "[\(layer.output), \(inputs)] would continue the chain of linear layers"
            }
            inputs = layer.output
        }
        return nil
    }

    /// Compares names so that numbers in them count as numbers: `fc2` before `fc10`.
    static func naturalOrder(_ a: String, _ b: String) -> Bool {
        var a = Substring(a)
        var b = Substring(b)
        while let first = a.first, let second = b.first {
            if first.isWholeNumber && second.isWholeNumber {
                let (left, right) = (number(&a), number(&b))
                if left != right { return left.count != right.count ? left.count < right.count : left < right }
            } else if first != second {
                return first < second
            } else {
                a.removeFirst()
                b.removeFirst()
            }
        }
        return a.count < b.count
    }

    /// Takes the digits at the start, without leading zeros.
    private static func number(_ text: inout Substring) -> Substring {
        let digits = text.prefix { $0.isWholeNumber }
        text = text.dropFirst(digits.count)
        return digits.drop { $0 == "0" }
    }

    // MARK: Completeness

    private func check(against architecture: Architecture) throws {
        var wanted: Set<String> = []
        for (name, shape) in architecture.parameterShapes {
            guard let tensor = state[name] else {
                throw Failure(.badInput, "tensor \(name) is missing (expected shape \(shape))")
            }
            guard tensor.shape == shape else {
                throw Failure(.badInput, "tensor \(name) has shape \(tensor.shape) where \(shape) is expected")
            }
            wanted.insert(name)
        }
        if let extra = state.names.first(where: { !wanted.contains($0) }) {
            throw Failure(
                .badInput,
                "tensor \(extra) with shape \(state[extra]?.shape ?? []) is not part of the network that the other "
                    + "tensors make (\(architecture.summary))")
        }
    }
}

extension Architecture {
    /// A few words that tell what it is, for a person.
    public var summary: String {
        switch self {
        case .residual(let residual): return "ResNet-\(residual.depth)"
        case .fullyConnected(let connected):
            let sizes = connected.layers.map(\.output)
            return "fully connected "
                + ([connected.layers.first?.input ?? 0] + sizes).map(String.init).joined(separator: "-")
        }
    }
}
