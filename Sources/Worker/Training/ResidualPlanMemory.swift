import Shared

/// The memory of a ``ResidualPlan``, and how its layers are placed in it.
///
/// In training every activation is kept for the pass back. In inference the residual stream, what is inside a block,
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
    let parameters: AlignedBuffer
    let statistics: AlignedBuffer
    /// The parameters' gradients.
    let gradient: AlignedBuffer
    let input: AlignedBuffer
    /// What a shortcut that is not the identity adds.
    let shortcut: AlignedBuffer
    /// The gradient with respect to the residual stream before the ReLU of the block that is being walked.
    let streamGradient: AlignedBuffer
    /// The gradient with respect to what a convolution read.
    let innerGradient: AlignedBuffer

    private let purpose: PlanPurpose
    private let largest: Int
    private var kept: [AlignedBuffer] = []
    private var shared: [Role: AlignedBuffer] = [:]

    init(_ architecture: ResidualArchitecture, images: Int, purpose: PlanPurpose) throws {
        context = try OneDNN()
        layout = ParameterLayout(.residual(architecture))
        self.images = images
        self.purpose = purpose
        parameters = AlignedBuffer(count: layout.trainedCount)
        statistics = AlignedBuffer(count: layout.statisticsCount)
        input = AlignedBuffer(
            count: images * architecture.imageSize * architecture.imageSize * architecture.imageChannels)

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

    /// Places the convolution whose weights are the `index`-th of the network and its normalisation. Returns where
    /// its output lies as well.
    func place(
        _ index: Int, _ shape: Convolution.Shape, input: UnsafeMutablePointer<Float>, role: Role
    ) throws -> (NormalisedConvolution, UnsafeMutablePointer<Float>) {
        let weights = layout.trained[3 * index].range.lowerBound
        let scale = layout.trained[3 * index + 1].range.lowerBound
        let mean = layout.statistics[2 * index].range.lowerBound
        let x = activation(.convolution, count: shape.outputCount)
        let y = activation(role, count: shape.outputCount)
        var gradients: Convolution.Gradients?
        if purpose == .training {
            // Batch normalisation writes the gradient of its input over that input. Nobody needs the images'.
            gradients = Convolution.Gradients(
                output: x, weights: gradient.pointer + weights, input: index > 0 ? innerGradient.pointer : nil)
        }
        let unit = NormalisedConvolution(
            convolution: try Convolution(
                context, shape, input: input, weights: parameters.pointer + weights, output: x, gradients: gradients),
            normalisation: BatchNormalisation(
                channels: shape.output, pixels: shape.outputCount / shape.output, x: x, y: y,
                parameters: BatchNormalisation.Parameters(
                    scale: parameters.pointer + scale, shift: parameters.pointer + scale + shape.output,
                    runningMean: statistics.pointer + mean, runningVariance: statistics.pointer + mean + shape.output)),
            scaleGradient: gradient.pointer + scale)
        return (unit, y)
    }
}
