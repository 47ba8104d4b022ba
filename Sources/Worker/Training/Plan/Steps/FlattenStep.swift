import CKernels
import Shared

/// A vector of all values, channel after channel: `[image, pixel, channel]` becomes `[image, channel, pixel]`.
///
/// Channels of a single pixel need no step; their vector is the value itself.
final class FlattenStep: PlanStep {
    private let x: PlanEdge
    let output: PlanValue
    private let images: Int
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?

    init(_ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.x = x
        output = y
        images = layout.images
    }

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        yGradient = layout.takeGradient(of: output)
        let gradient = layout.buffer(x.value.buffer.count)
        xGradient = gradient
        layout.contribute(gradient, to: x)
    }

    func forward(_ statistics: NormalisationStatistics) {
        let shape = x.value.shape
        winnow_transpose(x.value.buffer.pointer, images, shape.pixels, shape.channels, output.buffer.pointer)
    }

    func backward() {
        guard let yGradient, let xGradient else { return }
        let shape = x.value.shape
        winnow_transpose(yGradient.pointer, images, shape.channels, shape.pixels, xGradient.pointer)
    }
}
