import Shared

/// A network as an ONNX model, which onnxruntime and its like run anywhere.
///
/// Input `images`, `[batch, channels, height, width]` of normalised pixels; output `logits`, `[batch, classes]`
/// (`probabilities` if the network ends with a softmax). Batch norms stay separate nodes: runtimes fold them into the
/// convolutions. Operators are of opset 13; functions that it lacks are decomposed like PyTorch does.
public struct OnnxExport {
    private static let irVersion = 7
    private static let opset = 13

    private let network: Network

    /// An export of a network. The normalisation of its inputs is only recorded, in the model's metadata.
    public init(_ network: Network) { self.network = network }

    /// The model file's bytes.
    public var bytes: [UInt8] {
        var onnx = OnnxGraph()
        for parameter in network.graph.parameters { onnx.constant(parameter.name, network[parameter.name]) }
        var values = ["images"]
        for (index, node) in network.graph.nodes.enumerated().dropFirst() {
            values.append(write(node, at: index, reading: inputs(of: index, values, to: &onnx), to: &onnx))
        }
        let graph = network.graph
        let output = graph.nodes[graph.output].operation == .softmax ? "probabilities" : "logits"
        let isMatrix = graph.isMatrix(graph.output)
        onnx.node(
            isMatrix ? "Identity" : "Flatten", [values[graph.output]], output: output,
            isMatrix ? [:] : ["axis": .integer(1)])

        var model = ProtobufWriter()
        model.integer(1, Self.irVersion)
        model.text(2, Onnx.ownProducer)
        model.text(3, Version.number)
        let image = graph.imageShape
        model.message(7) { writer in
            onnx.write(
                to: &writer, name: "network", input: ("images", [image.channels, image.height, image.width]),
                output: (output, [graph.classes]))
        }
        model.message(8) { $0.integer(2, Self.opset) }
        for (key, text) in network.facts.metadata {
            model.message(14) { writer in
                writer.text(1, key)
                writer.text(2, text)
            }
        }
        return model.bytes
    }

    /// The values that a node reads, in the rank that it needs.
    private func inputs(of index: Int, _ values: [String], to onnx: inout OnnxGraph) -> [String] {
        let node = network.graph.nodes[index]
        return node.inputs.enumerated().map { place, input in
            switch network.graph.change(of: input, for: index) {
            case .flattened:
                return onnx.node(
                    "Flatten", [values[input]], output: "\(node.name).flat\(place)", ["axis": .integer(1)])
            case .image:
                let axes = onnx.constant("\(node.name).axes\(place)", [2, 3])
                return onnx.node("Unsqueeze", [values[input], axes], output: "\(node.name).image\(place)")
            case nil: return values[input]
            }
        }
    }

    /// Writes a node's operators and returns the name of its output.
    private func write(
        _ node: Graph.Node, at index: Int, reading inputs: [String], to onnx: inout OnnxGraph
    ) -> String {
        let name = node.name
        let parameters = network.graph.parameters(of: index).map(\.name)
        switch node.operation {
        case .image: return "images"
        case .convolution(let convolution):
            return onnx.node(
                "Conv", inputs + parameters, output: name,
                [
                    "kernel_shape": .integers(convolution.kernel.both), "strides": .integers(convolution.stride.both),
                    "pads": .integers(convolution.padding.onnx), "dilations": .integers(convolution.dilation.both),
                    "group": .integer(convolution.groups),
                ])
        case .linear: return onnx.node("Gemm", inputs + parameters, output: name, ["transB": .integer(1)])
        case .batchNorm(let epsilon):
            return onnx.node(
                "BatchNormalization", inputs + parameters, output: name, ["epsilon": .float(Float(epsilon))])
        case .affine:
            let shape = [node.shape.channels] + (network.graph.isMatrix(index) ? [] : [1, 1])
            let scale = onnx.constant("\(name).scale", network["\(name).weight"].reshaped(shape))
            let offset = onnx.constant("\(name).offset", network["\(name).bias"].reshaped(shape))
            return onnx.node(
                "Add", [onnx.node("Mul", [inputs[0], scale], output: "\(name).scaled"), offset], output: name)
        case .activation(let activation): return write(activation, node, at: index, reading: inputs[0], to: &onnx)
        case .add:
            var sum = inputs[0]
            for (place, input) in inputs.enumerated().dropFirst() {
                sum = onnx.node("Add", [sum, input], output: place == inputs.count - 1 ? name : "\(name).\(place)")
            }
            return sum
        case .multiply: return onnx.node("Mul", inputs, output: name)
        case .concatenate: return onnx.node("Concat", inputs, output: name, ["axis": .integer(1)])
        case .pool(let pool): return write(pool, name, reading: inputs[0], to: &onnx)
        case .adaptiveAverage(let size): return write(average: size, of: node, reading: inputs[0], to: &onnx)
        case .flatten: return onnx.node("Flatten", inputs, output: name, ["axis": .integer(1)])
        case .select(let channels):
            let count = network.graph.inputShape(of: node).channels
            return write(select: channels, of: count, node, at: index, reading: inputs[0], to: &onnx)
        case .crop(let crop):
            let ends = [
                crop.top + (crop.size.height - 1) * crop.step.height + 1,
                crop.left + (crop.size.width - 1) * crop.step.width + 1,
            ]
            let bounds = [
                onnx.constant("\(name).starts", [crop.top, crop.left]), onnx.constant("\(name).ends", ends),
                onnx.constant("\(name).axes", [2, 3]), onnx.constant("\(name).steps", crop.step.both),
            ]
            return onnx.node("Slice", inputs + bounds, output: name)
        case .pad(let insets):
            let pads = onnx.constant(
                "\(name).pads", [0, 0, insets.top, insets.left, 0, 0, insets.bottom, insets.right])
            return onnx.node("Pad", inputs + [pads], output: name)
        case .softmax: return onnx.node("Softmax", inputs, output: name, ["axis": .integer(1)])
        }
    }

    private func write(
        _ activation: Operation.Activation, _ node: Graph.Node, at index: Int, reading x: String,
        to onnx: inout OnnxGraph
    ) -> String {
        let name = node.name
        func constant(_ part: String, _ value: Double, _ onnx: inout OnnxGraph) -> String {
            onnx.constant("\(name).\(part)", Tensor(shape: [], values: [Float(value)]))
        }
        switch activation {
        case .relu: return onnx.node("Relu", [x], output: name)
        case .leakyReLU(let slope):
            return onnx.node("LeakyRelu", [x], output: name, ["alpha": .float(Float(slope))])
        case .prelu:
            let shape = [node.shape.channels] + (network.graph.isMatrix(index) ? [] : [1, 1])
            let slopes = onnx.constant("\(name).slopes", network["\(name).weight"].reshaped(shape))
            return onnx.node("PRelu", [x, slopes], output: name)
        case .clip(let lowest, let highest):
            // An omitted bound is an empty name.
            let low = lowest.isFinite ? constant("lowest", lowest, &onnx) : ""
            let high = highest.isFinite ? constant("highest", highest, &onnx) : ""
            return onnx.node("Clip", [x, low, high], output: name)
        case .sigmoid: return onnx.node("Sigmoid", [x], output: name)
        case .hardSigmoid(let slope, let offset):
            return onnx.node(
                "HardSigmoid", [x], output: name, ["alpha": .float(Float(slope)), "beta": .float(Float(offset))])
        case .hardSwish:
            let gate = onnx.node(
                "HardSigmoid", [x], output: "\(name).gate", ["alpha": .float(1 / 6), "beta": .float(0.5)])
            return onnx.node("Mul", [x, gate], output: name)
        case .silu:
            return onnx.node("Mul", [x, onnx.node("Sigmoid", [x], output: "\(name).gate")], output: name)
        case .tanh: return onnx.node("Tanh", [x], output: name)
        case .elu(let alpha): return onnx.node("Elu", [x], output: name, ["alpha": .float(Float(alpha))])
        case .gelu:
            let scaled = onnx.node(
                "Div", [x, constant("root", 2.0.squareRoot(), &onnx)], output: "\(name).scaled")
            let shifted = onnx.node(
                "Add", [onnx.node("Erf", [scaled], output: "\(name).erf"), constant("one", 1, &onnx)],
                output: "\(name).shifted")
            let product = onnx.node("Mul", [x, shifted], output: "\(name).product")
            return onnx.node("Mul", [product, constant("half", 0.5, &onnx)], output: name)
        case .geluTanh:
            let cube = onnx.node(
                "Mul", [onnx.node("Mul", [x, x], output: "\(name).square"), x], output: "\(name).cube")
            let term = onnx.node("Mul", [cube, constant("factor", 0.044715, &onnx)], output: "\(name).term")
            let sum = onnx.node("Add", [x, term], output: "\(name).sum")
            let scaled = onnx.node(
                "Mul", [sum, constant("root", (2 / Double.pi).squareRoot(), &onnx)], output: "\(name).scaled")
            let shifted = onnx.node(
                "Add", [onnx.node("Tanh", [scaled], output: "\(name).tanh"), constant("one", 1, &onnx)],
                output: "\(name).shifted")
            let product = onnx.node("Mul", [x, shifted], output: "\(name).product")
            return onnx.node("Mul", [product, constant("half", 0.5, &onnx)], output: name)
        }
    }

    private func write(
        _ pool: Operation.Pool, _ name: String, reading x: String, to onnx: inout OnnxGraph
    ) -> String {
        let common: [(String, OnnxGraph.Attribute)] = [
            ("kernel_shape", .integers(pool.kernel.both)), ("strides", .integers(pool.stride.both)),
            ("pads", .integers(pool.padding.onnx)), ("ceil_mode", .integer(pool.coversEnd ? 1 : 0)),
        ]
        switch pool.kind {
        case .max:
            return onnx.node(
                "MaxPool", [x], output: name, common + [("dilations", .integers(pool.dilation.both))])
        case .average:
            return onnx.node(
                "AveragePool", [x], output: name, common + [("count_include_pad", .integer(pool.countsPadding ? 1 : 0))]
            )
        }
    }

    /// The mean of each channel, by windows if they are all equal, otherwise by products with matrices that take the
    /// means of rows and of columns.
    private func write(
        average size: Operation.Extent, of node: Graph.Node, reading x: String, to onnx: inout OnnxGraph
    ) -> String {
        let name = node.name
        let input = network.graph.inputShape(of: node)
        if size == .one { return onnx.node("GlobalAveragePool", [x], output: name) }
        if input.height % size.height == 0, input.width % size.width == 0 {
            let window = [input.height / size.height, input.width / size.width]
            return onnx.node(
                "AveragePool", [x], output: name, ["kernel_shape": .integers(window), "strides": .integers(window)])
        }
        func means(_ count: Int, of length: Int) -> [[Float]] {
            (0..<count).map { region in
                let range = region * length / count..<((region + 1) * length + count - 1) / count
                return (0..<length).map { range.contains($0) ? 1 / Float(range.count) : 0 }
            }
        }
        let rows = onnx.constant(
            "\(name).rows",
            Tensor(
                shape: [size.height, input.height], values: means(size.height, of: input.height).flatMap { $0 }))
        let columns = means(size.width, of: input.width)
        let transposed = (0..<input.width).flatMap { column in columns.map { $0[column] } }
        let right = onnx.constant("\(name).columns", Tensor(shape: [input.width, size.width], values: transposed))
        let narrowed = onnx.node("MatMul", [x, right], output: "\(name).narrowed")
        return onnx.node("MatMul", [rows, narrowed], output: name)
    }

    /// The channels in the map's order, with a channel of zeros where the map has none.
    private func write(
        select channels: [Int?], of count: Int, _ node: Graph.Node, at index: Int, reading x: String,
        to onnx: inout OnnxGraph
    ) -> String {
        var value = x
        if channels.contains(nil) {
            let pads = network.graph.isMatrix(index) ? [0, 0, 0, 1] : [0, 0, 0, 0, 0, 1, 0, 0]
            value = onnx.node(
                "Pad", [value, onnx.constant("\(node.name).pads", pads)], output: "\(node.name).padded")
        }
        let sources = onnx.constant("\(node.name).sources", channels.map { $0 ?? count })
        return onnx.node("Gather", [value, sources], output: node.name, ["axis": .integer(1)])
    }
}

extension Operation.Extent {
    /// Height and width, as ONNX lists them.
    fileprivate var both: [Int] { [height, width] }
}

extension Operation.Insets {
    /// All four, as ONNX lists them.
    fileprivate var onnx: [Int] { [top, left, bottom, right] }
}

extension Tensor {
    /// The same values in another shape of as many.
    fileprivate func reshaped(_ shape: [Int]) -> Tensor { Tensor(shape: shape, values: values) }
}
