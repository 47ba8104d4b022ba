/// ResNets with the names of torchvision and of the CIFAR repositories: `conv1`, `bn1`, `layer1.0.conv1`, …, and one
/// linear layer. Basic blocks (two 3×3 convolutions) and bottlenecks (1×1, 3×3 with the stride, 1×1); projections under
/// `downsample` or `shortcut`, or parameter-free shortcuts. A first kernel of 7 has stride 2 and is followed by a
/// pooling, as in He et al. (2016) for ImageNet.
enum ResNetFamily: ArchitectureFamily {
    static let summary = "ResNets (conv1, bn1, layer1.0.conv1, …, fc)"

    /// The most stages: each but the first halves the image.
    private static let stagesMax = 6

    static func matches(_ state: StateDict) -> Bool {
        state.names.contains { $0.hasPrefix("layer1.0.conv") || $0.hasPrefix("layer1.0.bn") }
    }

    static func graph(of state: StateDict, image: Shape?, hints: CheckpointHints) throws -> Graph {
        let maps = try state.metadata[ShortcutMaps.key].map(ShortcutMaps.read) ?? [:]
        let stem = try state.convolution("conv1")
        let isForImageNet = stem.kernel == 7
        let size = isForImageNet ? 224 : 32
        let image = image ?? Shape(channels: stem.channels, height: size, width: size)
        guard image.channels == stem.channels else {
            throw Failure(
                .badInput, "tensor conv1.weight reads \(stem.channels) channels, but images have \(image.channels)")
        }
        var builder = try GraphBuilder(image: image)
        var node = try builder.addConvolution(
            "conv1", norm: "bn1", of: state, hints: hints, stride: isForImageNet ? 2 : 1, after: 0)
        node = try builder.addActivation("", hints: hints, after: node)
        if isForImageNet {
            let pool = Operation.Pool(.max, kernel: .init(3), stride: .init(2), padding: .init(1))
            node = try builder.add("maxpool", .pool(pool), node)
        }
        var blocks: Set<String> = []
        for (stage, count) in try blocksPerStage(state).enumerated() {
            for index in 0..<count {
                let name = "layer\(stage + 1).\(index)"
                blocks.insert(name)
                node = try add(
                    name, stride: stage > 0 && index == 0 ? 2 : 1, map: maps[name], of: state, hints: hints,
                    to: &builder, after: node)
            }
        }
        if let unknown = maps.keys.sorted().first(where: { !blocks.contains($0) }) {
            throw Failure(.badInput, "\(ShortcutMaps.key) in its metadata names block \(unknown), which does not exist")
        }
        node = try builder.add("pool", .adaptiveAverage(.one), node)
        node = try builder.add("flatten", .flatten, node)
        let usual = ["linear", "fc", "classifier", "head"].first { state.has("\($0).weight") } ?? "linear"
        let head = state.linearLayers.first ?? usual
        node = try builder.addLinear(head, of: state, after: node)
        return try builder.graph(output: node)
    }

    private static func add(
        _ name: String, stride: Int, map: [Int?]?, of state: StateDict, hints: CheckpointHints,
        to builder: inout GraphBuilder, after input: Int
    ) throws -> Int {
        let isBottleneck = state.has("\(name).conv3.weight")
        let kernels = isBottleneck ? [1, 3, 1] : [3, 3]
        var x = input
        for (index, kernel) in kernels.enumerated() {
            // A bottleneck's stride is in its 3×3 convolution, as torchvision has it.
            let isStrided = index == (isBottleneck ? 1 : 0)
            x = try builder.addConvolution(
                "\(name).conv\(index + 1)", norm: "\(name).bn\(index + 1)", of: state, hints: hints, kernel: kernel,
                stride: isStrided ? stride : 1, after: x)
            if index < kernels.count - 1 {
                x = try builder.addActivation("\(name).", hints: hints, number: "\(index + 1)", after: x)
            }
        }
        let shortcut: Int
        if let projection = ["downsample", "shortcut"].first(where: { state.has("\(name).\($0).0.weight") }) {
            let layer = "\(name).\(projection)"
            shortcut = try builder.addConvolution(
                "\(layer).0", norm: "\(layer).1", of: state, hints: hints, stride: stride, after: input)
        } else {
            let channels = try parameterFree(
                name, stride: stride, map: map, padsAtEnd: hints.shortcut?.padsAtEnd ?? false,
                input: builder.shape(input).channels, output: builder.shape(x).channels)
            shortcut = try builder.addParameterFreeShortcut(
                "\(name).add", stride: stride, isPooled: hints.shortcut?.isPooled ?? false, channels: channels,
                from: input)
        }
        let sum = try builder.add("\(name).add", .add, [x, shortcut])
        return try builder.addActivation("\(name).", hints: hints, after: sum)
    }

    private static func parameterFree(
        _ name: String, stride: Int, map: [Int?]?, padsAtEnd: Bool, input: Int, output: Int
    ) throws -> [Int?] {
        if let map {
            guard map.count == output, map.allSatisfy({ $0 == nil || (0..<input).contains($0 ?? 0) }) else {
                throw Failure(
                    .badInput,
                    "\(ShortcutMaps.key) in its metadata does not map the \(output) channels of \(name) to its \(input) "
                        + "inputs")
            }
            return map
        }
        // Identity at stride 1, zero padding at stride 2.
        guard stride == 1 ? input == output : output >= input else {
            throw Failure(
                .badInput,
                "tensor \(name).conv2.weight has \(output) filters, the shortcut has \(input) channels, and "
                    + "nothing says how to map them; export the network with torch.onnx.export")
        }
        return CIFARResNet.Block.paddedShortcut(input: input, output: output, atEnd: padsAtEnd)
    }

    /// How many blocks each stage has, from the names of their tensors.
    private static func blocksPerStage(_ state: StateDict) throws -> [Int] {
        let names = Set(state.names.map { $0.split(separator: ".").prefix(2).joined(separator: ".") })
        var counts: [Int] = []
        while true {
            var count = 0
            while names.contains("layer\(counts.count + 1).\(count)") { count += 1 }
            if count == 0 { return counts }
            counts.append(count)
            guard counts.count <= stagesMax else {
                throw Failure(.badInput, "has more than \(stagesMax) stages (layer1 to layer\(stagesMax))")
            }
        }
    }
}
