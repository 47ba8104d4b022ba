import CKernels
import Shared

/// The gradients of gates on filters whose channels' absence ends at one reader of a value.
final class GateSums {
    private let ends: [GateEnds.End]
    private let images: Int
    private let channels: Int
    private let filters: Int
    private let sums: AlignedBuffer
    /// Each image's gradients with respect to all gates, `[images, filters]`.
    private let gates: AlignedBuffer

    init(_ ends: [GateEnds.End], channels: Int, _ layout: PlanLayout) {
        self.ends = ends
        self.channels = channels
        images = layout.images
        gates = layout.gates
        filters = layout.gates.count / layout.images
        sums = AlignedBuffer(count: images * channels)
    }

    /// Adds the products of a value `x * scale + shift`, or `x` without these, and its gradient, `[image, pixel, channel]`.
    func add(
        _ gradient: UnsafeMutablePointer<Float>, _ x: UnsafeMutablePointer<Float>, pixels: Int,
        scale: UnsafeMutablePointer<Float>? = nil, shift: UnsafeMutablePointer<Float>? = nil
    ) {
        winnow_gate_gradients(gradient, x, images, pixels, channels, scale, shift, sums.pointer)
        for image in 0..<images {
            for end in ends {
                gates.pointer[image * filters + end.filter] += sums.pointer[image * channels + end.channel]
            }
        }
    }
}
