extension Onnx.Reading {
    /// Layers with parameters; nil for other operators.
    mutating func layer(_ call: Call) throws -> [Value]? {
        switch call.node.type {
        case "Conv": [.view(try convolution(call))]
        case "Gemm": [.view(try gemm(call))]
        case "MatMul": [.view(try product(call))]
        case "BatchNormalization": [.view(try batchNorm(call))]
        case "PRelu": [.view(try prelu(call))]
        default: nil
        }
    }

    private mutating func convolution(_ call: Call) throws -> Onnx.View {
        let weight = try call.constant(1)
        let origin = layerOrigin(call, weight, input: 1)
        let image = try image(call.view(0), call, origin)
        guard weight.dimensions.count == 4 else {
            throw call.failure("its weight has shape \(weight.dimensions); Winnow reads two-dimensional convolutions")
        }
        let kernel = Operation.Extent(weight.dimensions[2], weight.dimensions[3])
        if let given = try call.integers("kernel_shape"), given != [kernel.height, kernel.width] {
            throw call.failure("its kernel_shape is \(given), its weight has shape \(weight.dimensions)")
        }
        let groups = try call.integer("group", default: 1)
        let channels = draft.shape(image).channels
        let (read, overflows) = weight.dimensions[1].multipliedReportingOverflow(by: groups)
        guard !overflows, read == channels, kernel.height > 0, kernel.width > 0 else {
            throw call.failure(
                "its weight \(weight.dimensions) in \(groups) groups does not fit the \(channels) channels that it reads"
            )
        }
        let window = try Window(call, kernel: kernel)
        var convolution = Operation.Convolution(
            filters: weight.dimensions[0], kernel: kernel, stride: window.stride,
            padding: try window.padding(of: draft.shape(image), call), dilation: window.dilation, groups: groups)
        var input = image
        if case .pad(let insets) = draft.operation(image) {
            // Padding before a convolution merges into its own padding.
            convolution.padding += insets
            input = draft.nodes[image].inputs[0]
        }
        var parameters: [Graph.Parameter.Role: Tensor] = [.weight: try tensor(weight, weight.dimensions, call)]
        if let bias = try call.optionalConstant(2), !isInventedZero(bias) {
            guard bias.count == convolution.filters else {
                throw call.failure("its bias has \(bias.count) values for \(convolution.filters) filters")
            }
            convolution.hasBias = true
            parameters[.bias] = try tensor(bias, [bias.count], call)
            if isFolded(weight: call.node.inputs[1], bias: call.node.inputs[2]) { foldedBatchNorms += 1 }
        }
        let node = try draft.add(.convolution(convolution), [input], origin, parameters)
        return Onnx.View(node, draft.shape(node).dimensions)
    }

    /// Whether a convolution's tensors have the names that PyTorch's exporters give when they fold a batch norm.
    private func isFolded(weight: String, bias: String) -> Bool {
        bias == weight + "_bias" || weight.hasPrefix("onnx::Conv_") && bias.hasPrefix("onnx::Conv_")
    }

    /// Whether a bias is the zeros that an exporter invents if the network has none.
    private func isInventedZero(_ bias: Onnx.Constant) -> Bool {
        bias.uniform == 0 && !(bias.name?.hasSuffix(".bias") ?? false)
    }

    private mutating func gemm(_ call: Call) throws -> Onnx.View {
        let weight = try call.constant(1)
        let origin = layerOrigin(call, weight, input: 1)
        guard weight.dimensions.count == 2 else {
            throw call.failure("its weight has shape \(weight.dimensions), not [outputs, inputs]")
        }
        guard try call.integer("transA", default: 0) == 0 else {
            throw call.failure("it transposes the images' activations (transA); Winnow reads linear layers")
        }
        let isOutputFirst = try call.integer("transB", default: 0) != 0
        let bias = try call.optionalConstant(2)
        return try linear(
            call, origin, weight: isOutputFirst ? weight : weight.transposed([1, 0], &budget),
            scale: Float(call.float("alpha", default: 1)), bias: bias, biasScale: Float(call.float("beta", default: 1)))
    }

    private mutating func product(_ call: Call) throws -> Onnx.View {
        guard case .constant(let weight) = call.input(1), weight.dimensions.count == 2 else {
            throw call.failure(
                "Winnow reads products with a constant matrix [inputs, outputs] as linear layers; it does not "
                    + "rank networks with other products, such as attention's")
        }
        let origin = layerOrigin(call, weight, input: 1)
        return try linear(
            call, origin, weight: weight.transposed([1, 0], &budget), scale: 1, bias: nil, biasScale: 1)
    }

    /// A linear layer; the weight is `[outputs, inputs]`.
    private mutating func linear(
        _ call: Call, _ origin: Onnx.Draft.Origin, weight: Onnx.Constant, scale: Float, bias: Onnx.Constant?,
        biasScale: Float
    ) throws -> Onnx.View {
        let view = try call.view(0)
        guard view.axes.count == 1 else {
            throw call.failure(
                "it reads \(view.axes.count + 1) dimensions; a linear layer reads [batch, inputs]: flatten before it")
        }
        let input = try vector(view, origin)
        let (outputs, inputs) = (weight.dimensions[0], weight.dimensions[1])
        guard draft.shape(input).channels == inputs else {
            throw call.failure("its weight is for \(inputs) inputs, but it reads \(draft.shape(input).channels)")
        }
        var parameters: [Graph.Parameter.Role: Tensor] = [
            .weight: try tensor(weight, weight.dimensions, call, scale: scale)
        ]
        var linear = Operation.Linear(outputs: outputs, hasBias: false)
        if let bias, let strides = bias.broadcastStrides(to: [1, outputs]), biasScale != 0 {
            let values = try bias.strided([outputs], [strides[1]], &budget)
            linear.hasBias = true
            parameters[.bias] = try tensor(values, [outputs], call, scale: biasScale)
        } else if let bias, biasScale != 0 {
            throw call.failure("its bias has shape \(bias.dimensions) for \(outputs) outputs")
        }
        let node = try draft.add(.linear(linear), [input], origin, parameters)
        return Onnx.View(node, [outputs])
    }

    private mutating func batchNorm(_ call: Call) throws -> Onnx.View {
        let scale = try call.constant(1)
        let origin = layerOrigin(call, scale, input: 1)
        let view = try call.view(0)
        let input = try channels(view, call, origin)
        let channels = draft.shape(input).channels
        var parameters: [Graph.Parameter.Role: Tensor] = [:]
        for (index, role) in [(1, Graph.Parameter.Role.weight), (2, .bias), (3, .runningMean), (4, .runningVariance)] {
            let constant = try call.constant(index)
            guard constant.count == channels else {
                throw call.failure("its input \(index) has \(constant.count) values for \(channels) channels")
            }
            parameters[role] = try tensor(constant, [channels], call)
        }
        if try call.integer("training_mode", default: 0) != 0, !notes.contains(Self.trainingNote) {
            notes.append(Self.trainingNote)
        }
        let node = try draft.add(
            .batchNorm(epsilon: call.float("epsilon", default: 1e-5)), [input], origin, parameters)
        return Onnx.View(node, view.dimensions)
    }

    private static let trainingNote =
        "the batch norms were exported in training mode; Winnow uses their running statistics, as in evaluation"

    private mutating func prelu(_ call: Call) throws -> Onnx.View {
        let slope = try call.constant(1)
        let origin = layerOrigin(call, slope, input: 1)
        let view = try call.view(0)
        let input = try channels(view, call, origin)
        guard let slopes = try perChannel(slope, view.dimensions) else {
            throw call.failure("its slope has shape \(slope.dimensions); one per channel is needed")
        }
        let channels = draft.shape(input).channels
        let values = slopes.count == 1 ? Array(repeating: slopes[0], count: channels) : slopes
        let weight = Tensor(shape: [channels], values: values.map(Float.init))
        let node = try draft.add(.activation(.prelu), [input], origin, [.weight: weight])
        return Onnx.View(node, view.dimensions)
    }

    /// A constant as a parameter.
    private mutating func tensor(
        _ constant: Onnx.Constant, _ shape: [Int], _ call: Call, scale: Float = 1
    ) throws -> Tensor {
        guard case .floats(var values) = constant.elements else {
            throw call.failure("it has integer parameters, but floating-point ones are needed")
        }
        if scale != 1 {
            try budget.take(4 * values.count)
            for index in values.indices { values[index] *= scale }
        }
        return Tensor(shape: shape, values: values)
    }
}

extension Shape {
    /// The extents as ONNX has them, without the batch.
    var dimensions: [Int] { [channels, height, width] }
}

extension Operation.Insets {
    fileprivate static func += (insets: inout Self, more: Self) {
        insets = Self(
            top: insets.top + more.top, left: insets.left + more.left, bottom: insets.bottom + more.bottom,
            right: insets.right + more.right)
    }
}
