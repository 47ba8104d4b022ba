import Shared

/// A network as an ONNX model, which onnxruntime and its like run anywhere.
///
/// Input `images`, `[batch, channels, height, width]` of normalised pixels (for a fully connected network
/// `[batch, inputs]`, flattened in channel, row, column order); output `logits`, `[batch, classes]`. Batch norms stay
/// nodes of their own: runtimes fold them into the convolutions. Operators are of opset 13.
public struct OnnxExport {
    private static let irVersion = 7
    private static let opset = 13

    private let network: Network
    private let normalisation: Normalisation

    /// An export of a network whose inputs are normalised so; the normalisation is only told, in the model's metadata.
    public init(_ network: Network, normalisation: Normalisation = .standard) {
        self.network = network
        self.normalisation = normalisation
    }

    /// The model file's bytes.
    public var bytes: [UInt8] {
        var graph = OnnxGraph()
        let output: String
        let inputShape: [Int]
        let classes: Int
        switch network.architecture {
        case .residual(let residual):
            output = build(residual, in: &graph)
            inputShape = [residual.imageChannels, residual.imageSize, residual.imageSize]
            classes = residual.classes
        case .fullyConnected(let connected):
            output = build(connected, in: &graph)
            inputShape = [connected.layers.first?.input ?? 0]
            classes = connected.layers.last?.output ?? 0
        }
        graph.node("Identity", [output], output: "logits")

        var model = ProtobufWriter()
        model.integer(1, Self.irVersion)
        model.text(2, "winnow")
        model.text(3, Version.number)
        model.message(7) { writer in
            graph.write(
                to: &writer, name: "network", input: ("images", inputShape), output: ("logits", [classes]))
        }
        model.message(8) { $0.integer(2, Self.opset) }
        let metadata = [
            ("mean", normalisation.mean), ("standard_deviation", normalisation.deviation),
        ]
        for (key, values) in metadata {
            model.message(14) { writer in
                writer.text(1, "input_\(key)")
                writer.text(2, values.map { "\($0)" }.joined(separator: " "))
            }
        }
        return model.bytes
    }

    private func build(_ architecture: FullyConnectedArchitecture, in graph: inout OnnxGraph) -> String {
        var value = "images"
        for (index, layer) in architecture.layers.enumerated() {
            value = linear(layer.name, value, in: &graph)
            if index + 1 < architecture.layers.count {
                value = graph.node("Relu", [value], output: "\(layer.name).relu")
            }
        }
        return value
    }

    private func build(_ architecture: ResidualArchitecture, in graph: inout OnnxGraph) -> String {
        var stream = convolution("conv1", "bn1", "images", stride: 1, in: &graph)
        stream = graph.node("Relu", [stream], output: "conv1.relu")
        for block in architecture.blocks {
            let name = block.name
            var inner = convolution("\(name).conv1", "\(name).bn1", stream, stride: block.stride, in: &graph)
            inner = graph.node("Relu", [inner], output: "\(name).conv1.relu")
            inner = convolution("\(name).conv2", "\(name).bn2", inner, stride: 1, in: &graph)
            let sum = graph.node(
                "Add", [inner, shortcut(block, of: stream, in: &graph)], output: "\(name).sum")
            stream = graph.node("Relu", [sum], output: "\(name).relu")
        }
        let pooled = graph.node("GlobalAveragePool", [stream], output: "pool")
        let flat = graph.node("Flatten", [pooled], output: "flat", ["axis": .integer(1)])
        return linear("linear", flat, in: &graph)
    }

    private func convolution(
        _ name: String, _ norm: String, _ input: String, stride: Int, in graph: inout OnnxGraph
    ) -> String {
        graph.constant("\(name).weight", network["\(name).weight"])
        let convolved = graph.node(
            "Conv", [input, "\(name).weight"], output: name,
            [
                "kernel_shape": .integers([3, 3]), "pads": .integers([1, 1, 1, 1]),
                "strides": .integers([stride, stride]),
            ])
        let parameters = ["weight", "bias", "running_mean", "running_var"].map { "\(norm).\($0)" }
        for parameter in parameters { graph.constant(parameter, network[parameter]) }
        return graph.node(
            "BatchNormalization", [convolved] + parameters, output: norm,
            ["epsilon": .float(Network.batchNormEpsilon)])
    }

    private func linear(_ name: String, _ input: String, in graph: inout OnnxGraph) -> String {
        for parameter in ["\(name).weight", "\(name).bias"] { graph.constant(parameter, network[parameter]) }
        return graph.node(
            "Gemm", [input, "\(name).weight", "\(name).bias"], output: name, ["transB": .integer(1)])
    }

    /// Every second pixel where the block strides; then the channels in the map's order, a channel of zeros for those
    /// to which the shortcut adds nothing.
    private func shortcut(
        _ block: ResidualArchitecture.Block, of stream: String, in graph: inout OnnxGraph
    ) -> String {
        let name = "\(block.name).shortcut"
        var value = stream
        if block.stride > 1 {
            let inputs = [
                graph.constant("\(name).starts", [0, 0]),
                graph.constant("\(name).ends", [Int(Int32.max), Int(Int32.max)]),
                graph.constant("\(name).axes", [2, 3]), graph.constant("\(name).steps", [block.stride, block.stride]),
            ]
            value = graph.node("Slice", [value] + inputs, output: "\(name).slice")
        }
        guard block.shortcut != (0..<block.input).map({ $0 }) else { return value }
        if block.shortcut.contains(nil) {
            let pads = graph.constant("\(name).pads", [0, 0, 0, 0, 0, 1, 0, 0])
            value = graph.node("Pad", [value, pads], output: "\(name).pad")
        }
        let sources = graph.constant("\(name).sources", block.shortcut.map { $0 ?? block.input })
        return graph.node("Gather", [value, sources], output: "\(name).channels", ["axis": .integer(1)])
    }
}
