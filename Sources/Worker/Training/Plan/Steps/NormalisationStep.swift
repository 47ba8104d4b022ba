import CKernels
import Shared

/// A batch normalisation, or an affine map, with a sum with one other value (a shortcut) and a ReLU if they follow.
///
/// y = (x - mean) / sqrt(variance + epsilon) * scale + shift; for its gradient see Ioffe and Szegedy (2015, section 3).
/// An affine map has mean 0 and deviation 1.
final class NormalisationStep: PlanStep {
    /// The nodes computed together.
    struct Nodes {
        /// The batch norm or affine map.
        var norm: Int
        /// The epsilon of a batch norm, or nil for an affine map.
        var epsilon: Double?
        /// The sum that follows, the norm's place among its inputs, and the other input.
        var sum: (node: Int, position: Int, shortcut: PlanEdge)?
        /// Whether a ReLU is last.
        var hasReLU = false
    }

    private let nodes: Nodes
    private let x: PlanEdge
    let output: PlanValue
    private let images: Int
    private let channels: Int
    /// Positions of all images together.
    private let pixels: Int
    private let scale: UnsafeMutablePointer<Float>
    private let shift: UnsafeMutablePointer<Float>
    private let scaleGradient: UnsafeMutablePointer<Float>
    private let shiftGradient: UnsafeMutablePointer<Float>
    /// The running mean and variance, and those of the last batch.
    private let running: (mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>)?
    private let batch: (mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>)?

    private let mean: AlignedBuffer
    private let variance: AlignedBuffer
    private let deviationInverse: AlignedBuffer
    private let factor: AlignedBuffer
    private let offset: AlignedBuffer
    private let slope: AlignedBuffer
    private var statistics = NormalisationStatistics.batch

    private var yGradients: [PlanBuffer] = []
    /// The gradient before the ReLU, which is also the shortcut's.
    private var inner: PlanBuffer?
    private var xGradient: PlanBuffer?
    private var roundedGradient: PlanBuffer?
    private var gates: GateSums?

    init(_ nodes: Nodes, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.nodes = nodes
        self.x = x
        output = y
        images = layout.images
        channels = output.shape.channels
        pixels = images * output.shape.pixels
        func pointer(_ role: Graph.Parameter.Role, in buffer: AlignedBuffer) -> UnsafeMutablePointer<Float> {
            buffer.pointer + (layout.place(nodes.norm, role) ?? 0)
        }
        scale = pointer(.weight, in: layout.parameters)
        shift = pointer(.bias, in: layout.parameters)
        scaleGradient = pointer(.weight, in: layout.gradient)
        shiftGradient = pointer(.bias, in: layout.gradient)
        if nodes.epsilon != nil {
            running = (pointer(.runningMean, in: layout.statistics), pointer(.runningVariance, in: layout.statistics))
            batch = (
                pointer(.runningMean, in: layout.batchStatistics), pointer(.runningVariance, in: layout.batchStatistics)
            )
        } else {
            (running, batch) = (nil, nil)
        }
        mean = AlignedBuffer(count: channels)
        variance = AlignedBuffer(count: channels)
        deviationInverse = AlignedBuffer(count: channels)
        factor = AlignedBuffer(count: channels)
        offset = AlignedBuffer(count: channels)
        slope = AlignedBuffer(count: channels)
        output.takesTwoGradients = true
    }

    var roundsOutput: Bool { true }

    // MARK: Layout

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        if let sum = nodes.sum { layout.read(sum.shortcut.value) }
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        layout.read(x.value)
        if nodes.hasReLU { layout.read(output) }
        yGradients = layout.takeGradients(of: output)
        let inner: PlanBuffer
        if yGradients.count == 1, !nodes.hasReLU {
            inner = yGradients[0]
        } else {
            inner = yGradients.first { $0.holders == 0 } ?? layout.buffer(output.buffer.count)
        }
        self.inner = inner
        if let sum = nodes.sum {
            if let ends = layout.gateEnds?.ends(of: sum.node, sum.position), !ends.isEmpty {
                gates = GateSums(ends, channels: channels, layout)
            }
            layout.contribute(inner, to: sum.shortcut)
        }
        guard x.value.dependsOnParameters else { return }
        if x.value.wantsRoundedGradient, x.value.readers == 1 {
            let rounded = layout.roundedBuffer(x.value.buffer.count)
            x.value.roundedGradient = rounded
            roundedGradient = rounded
        } else {
            // x is not read again.
            let gradient = x.value.readers == 1 ? x.value.buffer : layout.buffer(x.value.buffer.count)
            xGradient = gradient
            layout.contribute(gradient, to: x)
        }
    }

    // MARK: Passes

    func forward(_ statistics: NormalisationStatistics) {
        self.statistics = statistics
        let x = x.value.buffer.pointer
        switch (running, statistics) {
        case (nil, _):
            mean.clear()
            for channel in 0..<channels { variance.pointer[channel] = 1 }
        case (_?, .batch):
            winnow_channel_statistics(x, pixels, channels, mean.pointer, variance.pointer)
            keepStatistics()
        case (let running?, .running):
            mean.pointer.update(from: running.mean, count: channels)
            variance.pointer.update(from: running.variance, count: channels)
        }
        let epsilon = Float(nodes.epsilon ?? 0)
        for channel in 0..<channels {
            let inverse = 1 / (variance.pointer[channel] + epsilon).squareRoot()
            deviationInverse.pointer[channel] = inverse
            factor.pointer[channel] = inverse * scale[channel]
            offset.pointer[channel] = shift[channel] - mean.pointer[channel] * factor.pointer[channel]
        }
        winnow_scale_shift(
            x, pixels, channels, factor.pointer, offset.pointer, nodes.sum?.shortcut.value.buffer.pointer,
            nodes.hasReLU, output.buffer.pointer, output.rounded?.halves)
    }

    /// The mean and the unbiased variance, for the running ones.
    private func keepStatistics() {
        guard let batch else { return }
        let correction = Float(pixels) / Float(max(pixels - 1, 1))
        for channel in 0..<channels {
            batch.mean[channel] = mean.pointer[channel]
            batch.variance[channel] = variance.pointer[channel] * correction
        }
    }

    func backward() {
        guard let inner else { return }
        let x = x.value.buffer.pointer
        winnow_normalisation_gradient_sums(
            yGradients[0].pointer, yGradients.count > 1 ? yGradients[1].pointer : nil,
            nodes.hasReLU ? output.buffer.pointer : nil, x, pixels, channels, mean.pointer, deviationInverse.pointer,
            inner.pointer, shiftGradient, scaleGradient)
        gates?.add(inner.pointer, x, pixels: pixels / images, scale: factor.pointer, shift: offset.pointer)
        guard xGradient != nil || roundedGradient != nil else { return }
        let isOfBatch = running != nil && statistics == .batch
        for channel in 0..<channels {
            offset.pointer[channel] = isOfBatch ? shiftGradient[channel] / Float(pixels) : 0
            slope.pointer[channel] =
                isOfBatch ? scaleGradient[channel] / Float(pixels) * deviationInverse.pointer[channel] : 0
        }
        winnow_normalisation_gradient(
            inner.pointer, x, pixels, channels, factor.pointer, offset.pointer, mean.pointer, slope.pointer,
            xGradient?.pointer, roundedGradient?.halves)
    }
}
