import COneDNN
import Shared

/// A convolution, forward and backward, on memory fixed at creation.
///
/// Activations are `[image, row, column, channel]` (oneDNN's `nhwc`): its blocked layouts round channels up to 16, so a
/// pruned network would be no faster than the dense one. Weights use whatever layout oneDNN prefers; they are small.
final class Convolution {
    /// Extents of a convolution of several images.
    struct Form {
        var images: Int
        var operation: Graph.Operation.Convolution
        /// The input's shape.
        var input: Shape
        /// The output's shape.
        var output: Shape
    }

    /// What it reads and writes.
    struct Operands {
        /// The input, in the convolution's precision.
        var input: UnsafeMutableRawPointer
        /// `[filters, channels / groups, height, width]`.
        var weights: UnsafeMutablePointer<Float>
        /// `[filters]`, if it has one.
        var bias: UnsafeMutablePointer<Float>?
        var output: UnsafeMutablePointer<Float>
    }

    /// The gradients that it reads and writes.
    struct Gradients {
        /// With respect to the output, in the convolution's precision.
        var output: UnsafeMutableRawPointer
        /// With respect to the weights, or nil if not needed.
        var weights: UnsafeMutablePointer<Float>?
        /// With respect to the bias, if there is one and the weights' gradient is needed.
        var bias: UnsafeMutablePointer<Float>?
        /// With respect to the input, or nil if not needed.
        var input: UnsafeMutablePointer<Float>?
    }

    private let loads: [OneDNNOperation]
    private let forwardOperation: OneDNNOperation
    private let backwardOperations: [OneDNNOperation]

    /// Plans a convolution. Throws an `.unavailable` ``Failure`` if this processor does not support that precision.
    init(
        _ context: OneDNN, _ form: Form, precision: TrainingPrecision = .float32, _ operands: Operands,
        gradients: Gradients? = nil
    ) throws {
        let operation = form.operation
        let groups = operation.groups
        let perGroup = [
            operation.filters / groups, form.input.channels / groups, operation.kernel.height, operation.kernel.width,
        ]
        let weightShape = groups > 1 ? [groups] + perGroup : perGroup
        // Operands are in the given precision, results in float32.
        let sourceShape = [form.images, form.input.channels, form.input.height, form.input.width]
        let destinationShape = [form.images, form.output.channels, form.output.height, form.output.width]
        var source = try OneDNN.descriptor(sourceShape, dnnl_nhwc, precision)
        var sourceGradient = try OneDNN.descriptor(sourceShape, dnnl_nhwc)
        var destination = try OneDNN.descriptor(destinationShape, dnnl_nhwc)
        var destinationGradient = try OneDNN.descriptor(destinationShape, dnnl_nhwc, precision)
        var anyWeights = try OneDNN.descriptor(weightShape, dnnl_format_tag_any, precision)
        var anyWeightGradient = try OneDNN.descriptor(weightShape, dnnl_format_tag_any)
        let plainWeights = try OneDNN.descriptor(weightShape, groups > 1 ? dnnl_goihw : dnnl_oihw)
        var bias = try OneDNN.descriptor([operation.filters], dnnl_x)
        let window = Window(form)

        func planned<Descriptor>(
            _ descriptor: Descriptor, hint: OneDNNPlan? = nil, _ action: String
        ) throws -> OneDNNPlan {
            do {
                return try context.plan(descriptor, hint: hint, action)
            } catch is Failure where precision == .bfloat16 {
                throw Failure(.unavailable, "this processor does not support bfloat16; train with --precision float32")
            }
        }

        var descriptor = dnnl_convolution_desc_t()
        try withUnsafePointer(to: &bias) { bias in
            try OneDNN.check(
                dnnl_dilated_convolution_forward_desc_init(
                    &descriptor, dnnl_forward_training, dnnl_convolution_direct, &source, &anyWeights,
                    operands.bias == nil ? nil : bias, &destination, window.strides, window.dilations, window.before,
                    window.after), "describe a convolution")
        }
        let forward = try planned(descriptor, "plan a convolution")
        let sourceMemory = try OneDNNMemory(context, source, operands.input)
        let plainMemory = try OneDNNMemory(context, plainWeights, operands.weights)
        var loads: [OneDNNOperation] = []

        func loaded(_ plan: OneDNNPlan) throws -> OneDNNMemory {
            let layout = try plan.memory(dnnl_query_weights_md)
            let memory = try OneDNNMemory(allocating: layout, context)
            let reorder = try context.planReorder(from: plainWeights, to: layout)
            loads.append(try context.operation(reorder, [(DNNL_ARG_SRC, plainMemory), (DNNL_ARG_DST, memory)]))
            return memory
        }

        var arguments = [
            (DNNL_ARG_SRC, sourceMemory), (DNNL_ARG_WEIGHTS, try loaded(forward)),
            (DNNL_ARG_DST, try OneDNNMemory(context, destination, operands.output)),
        ]
        if let pointer = operands.bias { arguments.append((DNNL_ARG_BIAS, try OneDNNMemory(context, bias, pointer))) }
        forwardOperation = try context.operation(forward, arguments)

        var backward: [OneDNNOperation] = []
        if let gradients, let pointer = gradients.weights {
            try withUnsafePointer(to: &bias) { bias in
                try OneDNN.check(
                    dnnl_dilated_convolution_backward_weights_desc_init(
                        &descriptor, dnnl_convolution_direct, &source, &anyWeightGradient,
                        gradients.bias == nil ? nil : bias, &destinationGradient, window.strides, window.dilations,
                        window.before, window.after), "describe a weight gradient")
            }
            let plan = try planned(descriptor, hint: forward, "plan a weight gradient")
            let layout = try plan.memory(dnnl_query_diff_weights_md)
            let weightGradient = try OneDNNMemory(allocating: layout, context)
            var arguments = [
                (DNNL_ARG_SRC, sourceMemory),
                (DNNL_ARG_DIFF_DST, try OneDNNMemory(context, destinationGradient, gradients.output)),
                (DNNL_ARG_DIFF_WEIGHTS, weightGradient),
            ]
            if let pointer = gradients.bias {
                arguments.append((DNNL_ARG_DIFF_BIAS, try OneDNNMemory(context, bias, pointer)))
            }
            backward = [
                try context.operation(plan, arguments),
                try context.operation(
                    try context.planReorder(from: layout, to: plainWeights),
                    [
                        (DNNL_ARG_SRC, weightGradient),
                        (DNNL_ARG_DST, try OneDNNMemory(context, plainWeights, pointer)),
                    ]),
            ]
        }
        if let gradients, let inputGradient = gradients.input {
            try OneDNN.check(
                dnnl_dilated_convolution_backward_data_desc_init(
                    &descriptor, dnnl_convolution_direct, &sourceGradient, &anyWeights, &destinationGradient,
                    window.strides, window.dilations, window.before, window.after),
                "describe an input gradient")
            let plan = try planned(descriptor, hint: forward, "plan an input gradient")
            backward.append(
                try context.operation(
                    plan,
                    [
                        (DNNL_ARG_DIFF_DST, try OneDNNMemory(context, destinationGradient, gradients.output)),
                        (DNNL_ARG_WEIGHTS, try loaded(plan)),
                        (DNNL_ARG_DIFF_SRC, try OneDNNMemory(context, sourceGradient, inputGradient)),
                    ]))
        }
        self.loads = loads
        backwardOperations = backward
    }

    /// Takes the current weights.
    func loadWeights() throws {
        for load in loads { try load.run() }
    }

    func forward() throws { try forwardOperation.run() }

    /// Writes the needed gradients.
    func backward() throws {
        for operation in backwardOperations { try operation.run() }
    }
}

/// The extents of a kernel's way over its input, as oneDNN counts them.
private struct Window {
    let strides: [dnnl_dim_t]
    let dilations: [dnnl_dim_t]
    let before: [dnnl_dim_t]
    let after: [dnnl_dim_t]

    init(_ form: Convolution.Form) {
        let operation = form.operation
        func pair(_ extent: Graph.Operation.Extent) -> [dnnl_dim_t] {
            [extent.height, extent.width].map(dnnl_dim_t.init)
        }
        let strides = pair(operation.stride)
        let before = [operation.padding.top, operation.padding.left].map(dnnl_dim_t.init)
        self.strides = strides
        self.before = before
        dilations = pair(operation.dilation).map { $0 - 1 }
        // No more than the last window covers: additional padding would only keep oneDNN from its fast code.
        let covered = zip(pair(operation.kernel), pair(operation.dilation)).map { ($0 - 1) * $1 + 1 }
        let sizes = [(form.input.height, form.output.height), (form.input.width, form.output.width)]
        after = (0..<2).map { axis in
            let last = dnnl_dim_t(sizes[axis].1 - 1) * strides[axis] + covered[axis]
            return max(0, last - dnnl_dim_t(sizes[axis].0) - before[axis])
        }
    }
}
