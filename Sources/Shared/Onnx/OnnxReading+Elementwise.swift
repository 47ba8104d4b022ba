import Foundation

extension Onnx.Reading {
    /// Functions of each value, sums and products; nil for other operators.
    mutating func elementwise(_ call: Call) throws -> [Value]? {
        if let activation = try activation(call) {
            return [try map(call) { try $0.draft.add(activation, $1, $2) }]
        }
        switch call.node.type {
        case "Clip": return [try clip(call)]
        case "Min", "Max": return [try bound(call)]
        case "Selu": return [try selu(call)]
        case "Celu": return [try celu(call)]
        case "Erf": return [try map(call) { try $0.draft.add(part: .erf, $1, $2) }]
        case "Neg": return [try map(call) { try $0.draft.addAffine([-1], [0], $1, $2) }]
        case "Pow": return [try power(call)]
        case "Cast", "CastLike": return [try cast(call)]
        case "Add", "Sum": return [try sum(call)]
        case "Sub": return [try difference(call)]
        case "Mul": return [try product(call)]
        case "Div": return [try quotient(call)]
        case "Softmax": return [try softmax(call) { try $0.draft.add(.softmax, [$1], $2) }]
        case "LogSoftmax": return [try softmax(call) { try $0.draft.add(part: .logSoftmax, $1, $2) }]
        default: return nil
        }
    }

    /// The activation of an operator whose attributes define it completely.
    private func activation(_ call: Call) throws -> Operation.Activation? {
        switch call.node.type {
        case "Relu": return .relu
        case "LeakyRelu": return .leakyReLU(slope: try call.float("alpha", default: 0.01))
        case "Sigmoid": return .sigmoid
        case "HardSigmoid":
            return .hardSigmoid(
                slope: try call.float("alpha", default: 0.2), offset: try call.float("beta", default: 0.5))
        case "HardSwish": return .hardSwish
        case "Swish":
            guard try call.float("alpha", default: 1) == 1 else {
                throw call.failure("its alpha is not 1; Winnow reads x · sigmoid(x)")
            }
            return .silu
        case "Tanh": return .tanh
        case "Elu": return .elu(alpha: try call.float("alpha", default: 1))
        case "Gelu": return try call.text("approximate", default: "none") == "tanh" ? .geluTanh : .gelu
        default: return nil
        }
    }

    /// A function of each value, whatever its view.
    private mutating func map(
        _ call: Call, _ function: (inout Self, Int, Onnx.Draft.Origin) throws -> Int
    ) throws -> Value {
        var view = try call.view(0)
        let origin = origin(call)
        view.node = try function(&self, view.node, origin)
        return .view(view)
    }

    /// `gamma · elu(x)`
    private mutating func selu(_ call: Call) throws -> Value {
        // The operator's defaults, by its authors.
        let alpha = try call.float("alpha", default: 1.6732632423543772)
        let gamma = try call.float("gamma", default: 1.0507009873554805)
        return try map(call) { reading, node, origin in
            let elu = try reading.draft.add(.elu(alpha: alpha), node, origin)
            return try reading.draft.addAffine([gamma], [0], elu, origin)
        }
    }

    /// `alpha · elu(x / alpha)`
    private mutating func celu(_ call: Call) throws -> Value {
        let alpha = try call.float("alpha", default: 1)
        guard alpha > 0 else { throw call.failure("its alpha is \(alpha)") }
        return try map(call) { reading, node, origin in
            let scaled = try reading.draft.addAffine([1 / alpha], [0], node, origin)
            let elu = try reading.draft.add(.elu(alpha: 1), scaled, origin)
            return try reading.draft.addAffine([alpha], [0], elu, origin)
        }
    }

    // MARK: Bounds

    private mutating func clip(_ call: Call) throws -> Value {
        let lowest = try call.optionalFloat("min") ?? call.optionalNumber(1) ?? -.infinity
        let highest = try call.optionalFloat("max") ?? call.optionalNumber(2) ?? .infinity
        guard lowest <= highest else { throw call.failure("its bounds are \(lowest) and \(highest)") }
        // An exporter writes the smallest and largest float for a missing bound.
        let least = lowest <= -Double(Float.greatestFiniteMagnitude) ? -.infinity : lowest
        let most = highest >= Double(Float.greatestFiniteMagnitude) ? .infinity : highest
        return try map(call) { try $0.draft.addClip(least, most, $1, $2) }
    }

    /// The smaller or larger of values and one number.
    private mutating func bound(_ call: Call) throws -> Value {
        var view: Onnx.View?
        var bounds: [Double] = []
        for index in call.inputs.indices {
            if case .view(let input) = call.input(index), view == nil {
                view = input
            } else {
                guard let number = try call.optionalNumber(index) else {
                    throw call.failure("Winnow reads minima and maxima of values and one number")
                }
                bounds.append(number)
            }
        }
        guard var view, let least = bounds.min(), let most = bounds.max() else {
            throw call.failure("Winnow reads minima and maxima of values and one number")
        }
        view.node =
            call.node.type == "Min"
            ? try draft.addClip(-.infinity, least, view.node, origin(call))
            : try draft.addClip(most, .infinity, view.node, origin(call))
        return .view(view)
    }

    private mutating func power(_ call: Call) throws -> Value {
        guard let exponent = try call.optionalNumber(1) else { throw call.failure("its exponent is missing") }
        return try map(call) { try $0.draft.add(part: .power(exponent), $1, $2) }
    }

    private func cast(_ call: Call) throws -> Value {
        // CastLike's type is that of another tensor of the network.
        let type = try call.optionalInteger("to").map { Onnx.Element($0) } ?? .floating(.float32)
        guard type?.isFloating ?? false else {
            throw call.failure("it turns the image's channels into integers; export the float network")
        }
        return .view(try call.view(0))
    }

    // MARK: Sums and products

    private mutating func sum(_ call: Call) throws -> Value {
        guard var total = call.input(0) else { throw call.failure("it has no input") }
        for index in call.inputs.indices.dropFirst() {
            guard let next = call.input(index) else { continue }
            total = try combine(call, total, next) { reading, node, numbers, origin in
                try reading.draft.addAffine([1], numbers, node, origin)
            } both: { reading, first, second, origin in
                try reading.draft.add(.add, [first, second], origin)
            }
        }
        return total
    }

    private mutating func difference(_ call: Call) throws -> Value {
        guard let first = call.input(0), let second = call.input(1) else { throw call.failure("it needs two inputs") }
        let constantIsFirst = if case .constant = first { true } else { false }
        return try combine(call, first, second) { reading, node, numbers, origin in
            constantIsFirst
                ? try reading.draft.addAffine([-1], numbers, node, origin)
                : try reading.draft.addAffine([1], numbers.map { -$0 }, node, origin)
        } both: { reading, first, second, origin in
            let negative = try reading.draft.addAffine([-1], [0], second, origin.with("negative"))
            return try reading.draft.add(.add, [first, negative], origin)
        }
    }

    private mutating func product(_ call: Call) throws -> Value {
        guard let first = call.input(0), let second = call.input(1) else { throw call.failure("it needs two inputs") }
        return try combine(call, first, second) { reading, node, numbers, origin in
            try reading.draft.addAffine(numbers, [0], node, origin)
        } both: { reading, first, second, origin in
            try reading.draft.addProduct(first, second, origin)
        }
    }

    private mutating func quotient(_ call: Call) throws -> Value {
        guard let first = call.input(0), let second = call.input(1), case .constant = second else {
            throw call.failure("it divides by a value that depends on the image; Winnow reads quotients by constants")
        }
        return try combine(call, first, second) { reading, node, numbers, origin in
            guard !numbers.contains(0) else { throw call.failure("it divides by zero") }
            return try reading.draft.addAffine(numbers.map { 1 / $0 }, [0], node, origin)
        } both: { _, _, _, _ in
            throw call.failure("it divides by a value that depends on the image")
        }
    }

    /// Two inputs, one of which may be a per-channel constant.
    private mutating func combine(
        _ call: Call, _ first: Value, _ second: Value,
        constant: (inout Self, Int, [Double], Onnx.Draft.Origin) throws -> Int,
        both: (inout Self, Int, Int, Onnx.Draft.Origin) throws -> Int
    ) throws -> Value {
        switch (first, second) {
        case (.view(let view), .constant(let numbers)), (.constant(let numbers), .view(let view)):
            return .view(try combine(call, view, numbers, constant))
        case (.view(let first), .view(let second)):
            let origin = origin(call)
            guard first.axes.count == second.axes.count else {
                throw call.failure(
                    "it combines tensors of different ranks, \(first.dimensions) and \(second.dimensions)")
            }
            // Two views of the same arrangement need not be channels of images.
            if first.axes == second.axes, draft.shape(first.node) == draft.shape(second.node) {
                var view = first
                view.node = try both(&self, first.node, second.node, origin)
                return .view(view)
            }
            let nodes = (try channels(first, call, origin), try channels(second, call, origin))
            let node = try both(&self, nodes.0, nodes.1, origin)
            return .view(
                Onnx.View(node, first.axes.count == 1 ? [draft.shape(node).channels] : draft.shape(node).dimensions))
        default: throw call.failure("it combines what Winnow supports only as part of other operators")
        }
    }

    private mutating func combine(
        _ call: Call, _ view: Onnx.View, _ constant: Onnx.Constant,
        _ apply: (inout Self, Int, [Double], Onnx.Draft.Origin) throws -> Int
    ) throws -> Onnx.View {
        guard let numbers = try perChannel(constant, view.dimensions) else {
            throw call.failure(
                "its constant of shape \(constant.dimensions) differs between the pixels of \(view.dimensions), or does not "
                    + "fit; Winnow reads one number, or one for each channel")
        }
        let origin =
            numbers.count == 1 ? origin(call) : layerOrigin(call, constant, input: constantInput(of: call))
        var result = view
        if numbers.count == 1 {
            result.node = try apply(&self, view.node, numbers, origin)
        } else {
            let node = try apply(&self, try channels(view, call, origin), numbers, origin)
            result = Onnx.View(node, view.dimensions)
        }
        return result
    }

    private func constantInput(of call: Call) -> Int {
        if case .constant = call.input(0) { 0 } else { 1 }
    }

    // MARK: The end

    private mutating func softmax(
        _ call: Call, _ add: (inout Self, Int, Onnx.Draft.Origin) throws -> Int
    ) throws -> Value {
        let view = try call.view(0)
        let axis = try call.axis(
            call.integer("axis", default: (model.opset ?? 13) < 13 ? 1 : -1), rank: view.axes.count + 1)
        guard axis == 1, view.axes.dropFirst().allSatisfy({ $0.extent == 1 }) else {
            throw call.failure(
                "it is over axis \(axis) of \(view.axes.count + 1) dimensions; Winnow reads a softmax over the classes at "
                    + "the end of the network")
        }
        let origin = origin(call)
        let node = try add(&self, try vector(view, origin), origin)
        return .view(Onnx.View(node, view.dimensions))
    }
}
