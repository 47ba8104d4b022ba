import COneDNN
import Shared

/// A 3×3 convolution with padding 1, forward and backward, on memory fixed when it is made.
///
/// Activations are `[image, row, column, channel]` (oneDNN's `nhwc`): its blocked layouts round channels up to 16, so
/// a pruned network would be no faster than the dense one. Weights take whatever layout oneDNN likes; they are small.
final class Convolution {
    /// Extents of a convolution.
    struct Shape: Hashable {
        var images: Int
        var input: Int
        var output: Int
        /// Height and width of what comes in.
        var size: Int
        var stride: Int
        /// Height and width of what goes out.
        var outputSize: Int { (size - 1) / stride + 1 }
        /// Floats that go out.
        var outputCount: Int { images * outputSize * outputSize * output }
    }

    /// Where gradients come from and go to.
    struct Gradients {
        /// Of the loss with respect to what goes out, in the convolution's precision.
        var output: UnsafeMutableRawPointer
        /// With respect to the weights, `[output, input, 3, 3]`.
        var weights: UnsafeMutablePointer<Float>
        /// With respect to what comes in, or nil where nobody needs it.
        var input: UnsafeMutablePointer<Float>?
    }

    let shape: Shape
    private let loads: [OneDNNOperation]
    private let forwardOperation: OneDNNOperation
    private let weightGradientOperations: [OneDNNOperation]
    private let inputGradientOperation: OneDNNOperation?

    /// Plans a convolution of `input`, which is in the given precision, with `weights` (`[output, input, 3, 3]`) into
    /// `output`. Throws an `.unavailable` ``Failure`` where this processor cannot multiply in that precision.
    init(
        _ context: OneDNN, _ shape: Shape, precision: TrainingPrecision = .float32, input: UnsafeMutableRawPointer,
        weights: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>, gradients: Gradients?
    ) throws {
        self.shape = shape
        let sourceShape = [shape.images, shape.input, shape.size, shape.size]
        let destinationShape = [shape.images, shape.output, shape.outputSize, shape.outputSize]
        let weightShape = [shape.output, shape.input, 3, 3]
        // Operands are in the given precision, results in float32.
        var source = try OneDNN.descriptor(sourceShape, dnnl_nhwc, precision)
        var sourceGradient = try OneDNN.descriptor(sourceShape, dnnl_nhwc)
        var destination = try OneDNN.descriptor(destinationShape, dnnl_nhwc)
        var destinationGradient = try OneDNN.descriptor(destinationShape, dnnl_nhwc, precision)
        var anyWeights = try OneDNN.descriptor(weightShape, dnnl_format_tag_any, precision)
        var anyWeightGradient = try OneDNN.descriptor(weightShape, dnnl_format_tag_any)
        let plainWeights = try OneDNN.descriptor(weightShape, dnnl_oihw)
        let strides = [dnnl_dim_t](repeating: dnnl_dim_t(shape.stride), count: 2)
        let before: [dnnl_dim_t] = [1, 1]
        let needed = (shape.outputSize - 1) * shape.stride + 3 - shape.size - 1
        let after = [dnnl_dim_t](repeating: dnnl_dim_t(needed), count: 2)

        func planned<Descriptor>(
            _ descriptor: Descriptor, hint: OneDNNPlan? = nil, _ action: String
        ) throws -> OneDNNPlan {
            do {
                return try context.plan(descriptor, hint: hint, action)
            } catch is Failure where precision == .bfloat16 {
                throw Failure(.unavailable, "this processor does not multiply bfloat16; train with --precision float32")
            }
        }

        var descriptor = dnnl_convolution_desc_t()
        try OneDNN.check(
            dnnl_convolution_forward_desc_init(
                &descriptor, dnnl_forward_training, dnnl_convolution_direct, &source, &anyWeights, nil, &destination,
                strides, before, after), "describe a convolution")
        let forward = try planned(descriptor, "plan a convolution")
        let sourceMemory = try OneDNNMemory(context, source, input)
        let plainMemory = try OneDNNMemory(context, plainWeights, weights)
        var loads: [OneDNNOperation] = []

        func loaded(_ plan: OneDNNPlan) throws -> OneDNNMemory {
            let layout = try plan.memory(dnnl_query_weights_md)
            let memory = try OneDNNMemory(allocating: layout, context)
            let reorder = try context.planReorder(from: plainWeights, to: layout)
            loads.append(try context.operation(reorder, [(DNNL_ARG_SRC, plainMemory), (DNNL_ARG_DST, memory)]))
            return memory
        }

        forwardOperation = try context.operation(
            forward,
            [
                (DNNL_ARG_SRC, sourceMemory), (DNNL_ARG_WEIGHTS, try loaded(forward)),
                (DNNL_ARG_DST, try OneDNNMemory(context, destination, output)),
            ])
        guard let gradients else {
            self.loads = loads
            weightGradientOperations = []
            inputGradientOperation = nil
            return
        }

        let outputGradient = try OneDNNMemory(context, destinationGradient, gradients.output)
        try OneDNN.check(
            dnnl_convolution_backward_weights_desc_init(
                &descriptor, dnnl_convolution_direct, &source, &anyWeightGradient, nil, &destinationGradient, strides,
                before, after),
            "describe a weight gradient")
        let backwardWeights = try planned(descriptor, hint: forward, "plan a weight gradient")
        let layout = try backwardWeights.memory(dnnl_query_diff_weights_md)
        let weightGradient = try OneDNNMemory(allocating: layout, context)
        weightGradientOperations = [
            try context.operation(
                backwardWeights,
                [
                    (DNNL_ARG_SRC, sourceMemory), (DNNL_ARG_DIFF_DST, outputGradient),
                    (DNNL_ARG_DIFF_WEIGHTS, weightGradient),
                ]),
            try context.operation(
                try context.planReorder(from: layout, to: plainWeights),
                [
                    (DNNL_ARG_SRC, weightGradient),
                    (DNNL_ARG_DST, try OneDNNMemory(context, plainWeights, gradients.weights)),
                ]),
        ]

        if let inputGradient = gradients.input {
            try OneDNN.check(
                dnnl_convolution_backward_data_desc_init(
                    &descriptor, dnnl_convolution_direct, &sourceGradient, &anyWeights, &destinationGradient, strides,
                    before, after),
                "describe an input gradient")
            let backwardData = try planned(descriptor, hint: forward, "plan an input gradient")
            inputGradientOperation = try context.operation(
                backwardData,
                [
                    (DNNL_ARG_DIFF_DST, outputGradient), (DNNL_ARG_WEIGHTS, try loaded(backwardData)),
                    (DNNL_ARG_DIFF_SRC, try OneDNNMemory(context, sourceGradient, inputGradient)),
                ])
        } else {
            inputGradientOperation = nil
        }
        self.loads = loads
    }

    /// Takes the weights as they are now.
    func loadWeights() throws {
        for load in loads { try load.run() }
    }

    func forward() throws { try forwardOperation.run() }

    /// Writes the gradients with respect to the weights and, where it is wanted, the input.
    func backward() throws {
        for operation in weightGradientOperations { try operation.run() }
        try inputGradientOperation?.run()
    }
}
