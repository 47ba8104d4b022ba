import Shared

/// The memory of a ``ResidualPlan``, and how its layers are placed in it.
///
/// In training every activation is kept for the pass back. In inference, which is in float32, the residual stream, what is inside a block,
/// and what a convolution puts out take turns in one buffer each.
final class ResidualPlanMemory {
    /// What an activation is to the network.
    enum Role {
        case convolution
        case hidden
        case stream
    }

    let context: OneDNN
    let layout: ParameterLayout
    let images: Int
    let precision: TrainingPrecision
    let parameters: AlignedBuffer
    let statistics: AlignedBuffer
    /// The parameters' gradients.
    let gradient: AlignedBuffer
    let input: AlignedBuffer
    /// The images as the first convolution reads them.
    let inputOperand: ConvolutionOperand
    /// What a shortcut that is not the identity adds.
    let shortcut: AlignedBuffer
    /// The gradient with respect to the residual stream before the ReLU of the block that is being walked.
    let streamGradient: AlignedBuffer
    /// The gradient with respect to what a convolution read.
    let innerGradient: AlignedBuffer

    private let purpose: PlanPurpose
    private let largest: Int
    /// The gradient in bfloat16 with respect to what a convolution puts out.
    private let roundedGradient: AlignedBuffer?
    private var kept: [AlignedBuffer] = []
    private var shared: [Role: AlignedBuffer] = [:]

    init(
        _ architecture: CIFARResNet, _ graph: Graph, images: Int, purpose: PlanPurpose, precision: TrainingPrecision
    ) throws {
        context = try OneDNN()
        layout = ParameterLayout(graph)
        self.images = images
        self.purpose = purpose
        self.precision = precision
        parameters = AlignedBuffer(count: layout.trainedCount)
        statistics = AlignedBuffer(count: layout.statisticsCount)
        input = AlignedBuffer(
            count: images * architecture.imageSize * architecture.imageSize * architecture.imageChannels)
        let roundedInput = precision == .bfloat16 ? AlignedBuffer(count: (input.count + 1) / 2) : nil
        inputOperand = ConvolutionOperand(values: input.pointer, rounded: roundedInput?.halves)
        kept = [roundedInput].compactMap { $0 }

        var size = architecture.imageSize
        var largest = architecture.stem * size * size
        var largestShortcut = 0
        for block in architecture.blocks {
            size = (size - 1) / block.stride + 1
            largest = max(largest, max(block.hidden, block.output) * size * size)
            if !block.hasIdentityShortcut { largestShortcut = max(largestShortcut, block.output * size * size) }
        }
        self.largest = images * largest
        shortcut = AlignedBuffer(count: images * largestShortcut)
        let trains = purpose == .training
        gradient = AlignedBuffer(count: trains ? layout.trainedCount : 0)
        streamGradient = AlignedBuffer(count: trains ? images * largest : 0)
        innerGradient = AlignedBuffer(count: trains ? images * largest : 0)
        roundedGradient =
            trains && precision == .bfloat16 ? AlignedBuffer(count: (images * largest + 1) / 2) : nil
    }

    /// The floats of an activation.
    private func activation(_ role: Role, count: Int) -> UnsafeMutablePointer<Float> {
        switch purpose {
        case .training:
            let buffer = AlignedBuffer(count: count)
            kept.append(buffer)
            return buffer.pointer
        case .inference:
            let buffer = shared[role] ?? AlignedBuffer(count: largest)
            shared[role] = buffer
            return buffer.pointer
        }
    }

    /// An activation that convolutions read.
    private func operand(_ role: Role, count: Int) -> ConvolutionOperand {
        let values = activation(role, count: count)
        guard precision == .bfloat16 else { return ConvolutionOperand(values: values, rounded: nil) }
        let rounded = AlignedBuffer(count: (count + 1) / 2)
        kept.append(rounded)
        return ConvolutionOperand(values: values, rounded: rounded.halves)
    }

    /// Places the convolution whose weights are the `index`-th of the network and its normalisation. Returns where
    /// its output lies as well.
    func place(
        _ index: Int, _ shape: Convolution.Shape, input: ConvolutionOperand, role: Role
    ) throws -> (NormalisedConvolution, ConvolutionOperand) {
        let weights = layout.trained[3 * index].range.lowerBound
        let scale = layout.trained[3 * index + 1].range.lowerBound
        let mean = layout.statistics[2 * index].range.lowerBound
        let x = activation(.convolution, count: shape.outputCount)
        let y = operand(role, count: shape.outputCount)
        // The gradient of what the convolution put out is written over that.
        let xGradient = ConvolutionOperand(values: x, rounded: roundedGradient?.halves)
        var gradients: Convolution.Gradients?
        if purpose == .training {
            // Nobody needs the images' gradient.
            gradients = Convolution.Gradients(
                output: xGradient.address, weights: gradient.pointer + weights,
                input: index > 0 ? innerGradient.pointer : nil)
        }
        let unit = NormalisedConvolution(
            convolution: try Convolution(
                context, shape, precision: precision, input: input.address, weights: parameters.pointer + weights,
                output: x,
                gradients: gradients),
            normalisation: BatchNormalisation(
                channels: shape.output, pixels: shape.outputCount / shape.output, x: x, y: y, xGradient: xGradient,
                parameters: BatchNormalisation.Parameters(
                    scale: parameters.pointer + scale, shift: parameters.pointer + scale + shape.output,
                    runningMean: statistics.pointer + mean, runningVariance: statistics.pointer + mean + shape.output)),
            scaleGradient: gradient.pointer + scale)
        return (unit, y)
    }
}
