extension Onnx {
    /// Makes a graph from a model, node by node.
    struct Reading {
        /// The oldest and the newest supported version of the operators.
        private static let opsets = 9...25
        /// Represents any batch size in calculations of shapes: a number that no layer has.
        private static let anyBatch = 61
        /// Calls of functions within functions.
        private static let callsMax = 16

        /// The state of a model's tensor while reading.
        enum Value {
            case constant(Constant)
            case view(View)
            case resampling(Resampling)
            case sequence([Value])
        }

        /// Tensors by name, including those that a function's caller passes.
        struct Scope {
            var values: [String: Value] = [:]
            /// Attribute values of the function whose nodes are evaluated.
            var attributes: [String: Attribute] = [:]
            /// The prefix of the names of the function's nodes.
            var prefix = ""
            /// Functions around this one.
            var depth = 0
        }

        let model: Model
        private let folder: Folder?
        var budget: Budget
        var draft: Draft
        var notes: [String] = []
        /// The batch in calculations of shapes: the model's fixed one, or ``anyBatch``.
        let batch: Int
        private let input: View
        private let inputName: String
        /// Evaluated nodes, counting those of functions at each call.
        private var evaluated = 0
        /// How many layers were named by each operator.
        var unnamed: [String: Int] = [:]

        /// Prepares to read a model. Throws if its input is not an image.
        init(_ model: Model, _ folder: Folder?) throws {
            self.model = model
            self.folder = folder
            budget = Budget(bytes: model.bytes.count)
            guard let opset = model.opset else {
                throw Failure(.badInput, "the model does not say which opset it uses; is the file cut short?")
            }
            guard Self.opsets.contains(opset) else {
                throw Failure(
                    .badInput,
                    "the model uses opset \(opset); Winnow reads \(Self.opsets.lowerBound) to "
                        + "\(Self.opsets.upperBound): export it with opset_version=17")
            }
            let input = try Self.image(model)
            inputName = input.name
            batch = input.batch ?? Self.anyBatch
            let shape: Shape
            switch input.dimensions.count {
            case 3:
                shape = Shape(channels: input.dimensions[0], height: input.dimensions[1], width: input.dimensions[2])
            case 2: shape = Shape(channels: 1, height: input.dimensions[0], width: input.dimensions[1])
            default: shape = Shape(vector: input.dimensions[0])
            }
            // Checks the shape.
            _ = try GraphBuilder(image: shape)
            draft = Draft(image: shape)
            self.input = View(0, input.dimensions)
        }

        /// The model's single input, without its batch.
        private static func image(
            _ model: Model
        ) throws -> (name: String, batch: Int?, dimensions: [Int]) {
            let inputs = model.graph.inputs.filter { model.graph.initializers[$0.name] == nil }
            guard let input = inputs.first else { throw Failure(.badInput, "the model has no input") }
            guard inputs.count == 1 else {
                throw Failure(
                    .badInput,
                    "the model has \(inputs.count) inputs, \(inputs.prefix(4).map(\.name).joined(separator: ", ")); "
                        + "Winnow reads networks of one image")
            }
            guard let dimensions = input.dimensions, (2...4).contains(dimensions.count) else {
                throw Failure(
                    .badInput,
                    "input \(input.name) has "
                        + "\(input.dimensions.map { "\($0.count) dimensions" } ?? "no shape"); images [batch, "
                        + "channels, height, width] are needed")
            }
            let sizes = dimensions.dropFirst().compactMap { $0 }
            guard sizes.count == dimensions.count - 1, sizes.allSatisfy({ $0 > 0 }) else {
                throw Failure(
                    .badInput,
                    "input \(input.name) has variable sizes besides the batch (\(shapeText(input))); export "
                        + "with images of one size, and with only the first dimension dynamic")
            }
            return (input.name, dimensions[0].flatMap { $0 > 0 ? $0 : nil }, sizes)
        }

        private static func shapeText(_ input: Input) -> String {
            var symbols = input.symbols[...]
            return (input.dimensions ?? []).map { size in size.map(String.init) ?? symbols.popFirst() ?? "?" }
                .joined(separator: " × ")
        }

        /// The network. Throws if no graph can represent the model.
        mutating func network() throws -> OnnxNetwork {
            let output = try outputName()
            var scope = Scope()
            scope.values[inputName] = .view(input)
            try evaluate(model.graph.nodes, for: [output], &scope, of: "the model")
            guard let value = try value(output, &scope), case .view(let view) = value else {
                throw Failure(.badInput, "output \(output) does not depend on the image")
            }
            let last = try classes(view, output)
            let (graph, parameters) = try draft.network(output: last)
            noteFoldedBatchNorms()
            // Other producers may use the same keys with another meaning.
            let facts = model.producer == Onnx.ownProducer ? try NetworkFacts(metadata: model.metadata) : NetworkFacts()
            return OnnxNetwork(graph: graph, parameters: parameters, facts: facts, notes: notes)
        }

        private func outputName() throws -> String {
            let outputs = model.graph.outputs
            guard let output = outputs.first else { throw Failure(.badInput, "the model has no output") }
            guard outputs.count == 1 else {
                throw Failure(
                    .badInput,
                    "the model has \(outputs.count) outputs, \(outputs.prefix(4).joined(separator: ", ")), but "
                        + "one is needed\(auxiliaryHint(outputs))")
            }
            return output
        }

        /// Which of several outputs is an auxiliary classifier's: the one with fewer layers before it.
        private func auxiliaryHint(_ outputs: [String]) -> String {
            let made = Set(model.graph.nodes.flatMap(\.outputs))
            let counts = outputs.map { output in
                (try? Order(model.graph.nodes, for: [output], in: "the model") { !made.contains($0) })?.nodes.count ?? 0
            }
            guard let most = counts.max(), let least = counts.min(), least < most, outputs.count == 2,
                let auxiliary = counts.firstIndex(of: least)
            else { return ": export the logits only" }
            return "; \(outputs[auxiliary]) looks auxiliary (\(least) of the other's \(most) nodes lead to it): export "
                + "the network without it, in PyTorch with aux_logits=False or after eval()"
        }

        /// The node whose channels are the classes.
        private mutating func classes(_ view: View, _ output: String) throws -> Int {
            let origin = Draft.Origin(label: "output \(output)", name: "output")
            var last = view
            if case .logSoftmax = draft.nodes[view.node].kind {
                last.node = draft.nodes[view.node].inputs[0]
                notes.append(
                    "the log-softmax at the end is dropped: logits and their log-softmax have the same cross-entropy")
            }
            guard last.axes.dropFirst().allSatisfy({ $0.extent == 1 }) else {
                throw Failure(
                    .badInput,
                    "output \(output), of node \(draft.nodes[last.node].origin.label), has \(last.dimensions) "
                        + "values per image, but one per class is needed; Winnow reads classifiers")
            }
            return try vector(last, origin)
        }

        /// Says so if batch norms were folded into the convolutions before them.
        private mutating func noteFoldedBatchNorms() {
            guard foldedBatchNorms > 0 else { return }
            notes.append(
                "the batch norms of \(foldedBatchNorms) convolutions are folded into them, so their statistics "
                    + "can be neither recalibrated nor trained; rankings correct the statistics of the convolutions' "
                    + "outputs instead. To keep them, export with torch.onnx.export(…, dynamo=False, "
                    + "training=TrainingMode.PRESERVE, do_constant_folding=False) or with dynamo=True, optimize=False")
        }

        /// Convolutions whose tensors have the names that exporters give when they fold a batch norm.
        var foldedBatchNorms = 0
    }
}

extension Onnx.Reading {
    /// A known tensor, from the scope or the file. Nil for the empty name of an omitted input.
    mutating func value(_ name: String, _ scope: inout Scope) throws -> Value? {
        if name.isEmpty { return nil }
        if let value = scope.values[name] { return value }
        guard scope.depth == 0, let stored = model.graph.initializers[name] else { return nil }
        let value = Value.constant(try stored.constant(model.bytes, folder, &budget))
        scope.values[name] = value
        return value
    }

    /// Reads a tensor of an attribute.
    mutating func constant(_ stored: Onnx.StoredTensor) throws -> Onnx.Constant {
        try stored.constant(model.bytes, folder, &budget)
    }

    /// Evaluates the nodes that some tensors need.
    private mutating func evaluate(
        _ nodes: [Onnx.Node], for outputs: [String], _ scope: inout Scope, of part: String
    ) throws {
        let initializers = scope.depth == 0 ? model.graph.initializers : [:]
        let values = scope.values
        let order = try Onnx.Order(nodes, for: outputs, in: part) { values[$0] != nil || initializers[$0] != nil }
        for index in order.nodes { try evaluate(nodes[index], &scope) }
    }

    private mutating func evaluate(_ node: Onnx.Node, _ scope: inout Scope) throws {
        evaluated += 1
        guard evaluated <= 8 * Graph.nodesMax else {
            throw Failure(.badInput, "the model has more than \(8 * Graph.nodesMax) nodes")
        }
        var call = Call(node: node, prefix: scope.prefix)
        for name in node.inputs {
            let input = try value(name, &scope)
            guard input != nil || name.isEmpty else {
                throw call.failure("its input \(name) is an output that its node does not have")
            }
            call.inputs.append(input)
        }
        for (name, attribute) in node.attributes {
            if case .reference(let outer) = attribute {
                call.attributes[name] = scope.attributes[outer]
            } else {
                call.attributes[name] = attribute
            }
        }
        let results = try results(of: call, scope)
        for (name, value) in zip(node.outputs, results) where !name.isEmpty { scope.values[name] = value }
    }

    private mutating func results(of call: Call, _ scope: Scope) throws -> [Value] {
        if let function = model.functions[call.node.operatorKey] { return try results(of: call, function, scope) }
        guard call.node.domain.isEmpty else {
            throw call.failure(
                "the operator is of domain \(call.node.domain); Winnow reads ONNX's own operators and the model's "
                    + "functions")
        }
        if let unchanged = unchanged(call) { return [unchanged] }
        return try results(ofOperator: call)
    }

    /// A call of an operator of ONNX's own.
    mutating func results(ofOperator call: Call) throws -> [Value] {
        if call.inputs.allSatisfy({ $0?.isFixed ?? true }) || call.isCastOfConstant { return try folded(call) }
        if let results = try resampled(call) { return results }
        if let results = try layer(call) ?? pooled(call) ?? elementwise(call) ?? reshaped(call) { return results }
        throw call.unsupported()
    }

    /// A call of one of the model's functions: its nodes with the caller's tensors and attributes.
    private mutating func results(of call: Call, _ function: Onnx.Function, _ scope: Scope) throws -> [Value] {
        guard scope.depth < Self.callsMax else { throw call.failure("functions call each other too deeply") }
        var inner = Scope(prefix: call.name + "/", depth: scope.depth + 1)
        inner.attributes = function.defaults.merging(call.attributes) { $1 }
        for (name, value) in zip(function.inputs, call.inputs) { inner.values[name] = value }
        try evaluate(function.nodes, for: function.outputs, &inner, of: "function \(function.name)")
        return try function.outputs.map { output in
            guard let value = inner.values[output] else {
                throw call.failure("its function has no output \(output)")
            }
            return value
        }
    }

    /// The results of operators that change nothing at evaluation.
    private func unchanged(_ call: Call) -> Value? {
        guard ["Identity", "Dropout"].contains(call.node.type), let input = call.inputs.first else { return nil }
        return input
    }
}

extension Onnx.Reading.Value {
    /// Whether it does not depend on the image.
    fileprivate var isFixed: Bool {
        switch self {
        case .constant: true
        case .view, .resampling: false
        case .sequence(let values): values.allSatisfy(\.isFixed)
        }
    }
}
