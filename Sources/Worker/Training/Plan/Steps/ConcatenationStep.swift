import CKernels
import Shared

/// The channels of several values, one after the other.
final class ConcatenationStep: PlanStep {
    private let parts: [PlanEdge]
    let output: PlanValue
    private let pixels: Int
    private var yGradient: PlanBuffer?
    private var gradients: [PlanBuffer?] = []

    init(_ parts: [PlanEdge], _ y: PlanValue, _ layout: PlanLayout) {
        self.parts = parts
        output = y
        pixels = layout.images * output.shape.pixels
    }

    func layOutForward(_ layout: PlanLayout) {
        for part in parts { layout.read(part.value) }
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        yGradient = layout.takeGradient(of: output)
        for part in parts {
            guard part.value.dependsOnParameters else {
                gradients.append(nil)
                continue
            }
            let gradient = layout.buffer(part.value.buffer.count)
            gradients.append(gradient)
            layout.contribute(gradient, to: part)
        }
    }

    func forward(_ statistics: NormalisationStatistics) {
        var start = 0
        for part in parts {
            let channels = part.value.shape.channels
            winnow_copy_columns(
                part.value.buffer.pointer, channels, output.buffer.pointer + start, output.shape.channels, pixels,
                channels)
            start += channels
        }
    }

    func backward() {
        guard let yGradient else { return }
        var start = 0
        for (part, gradient) in zip(parts, gradients) {
            let channels = part.value.shape.channels
            if let gradient {
                winnow_copy_columns(
                    yGradient.pointer + start, output.shape.channels, gradient.pointer, channels, pixels, channels)
            }
            start += channels
        }
    }
}
