import CKernels
import Shared

/// A linear layer: y = x Wᵀ + b.
final class LinearStep: PlanStep {
    private let x: PlanEdge
    let output: PlanValue
    private let images: Int
    private let weights: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>?
    private var weightGradient: UnsafeMutablePointer<Float>?
    private var biasGradient: UnsafeMutablePointer<Float>?
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?

    init(_ node: Int, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.x = x
        output = y
        images = layout.images
        weights = layout.parameters.pointer + (layout.place(node, .weight) ?? 0)
        bias = layout.place(node, .bias).map { layout.parameters.pointer + $0 }
        if layout.wantsParameterGradients {
            weightGradient = layout.place(node, .weight).map { layout.gradient.pointer + $0 }
            biasGradient = layout.place(node, .bias).map { layout.gradient.pointer + $0 }
        }
    }

    private var inputs: Int { x.value.shape.channels }
    private var outputs: Int { output.shape.channels }

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        if weightGradient != nil { layout.read(x.value) }
        yGradient = layout.takeGradient(of: output)
        if x.value.dependsOnParameters {
            let gradient = layout.buffer(x.value.buffer.count)
            xGradient = gradient
            layout.contribute(gradient, to: x)
        }
    }

    func forward(_ statistics: NormalisationStatistics) throws {
        let output = output.buffer.pointer
        try OneDNN.multiply(
            "N", "T", images, outputs, inputs, x.value.buffer.pointer, inputs, weights, inputs, output)
        if let bias { winnow_add_to_rows(output, images, outputs, bias) }
    }

    func backward() throws {
        guard let from = yGradient?.pointer else { return }
        if let biasGradient { winnow_sum_of_rows(from, images, outputs, biasGradient) }
        if let weightGradient {
            try OneDNN.multiply(
                "T", "N", outputs, inputs, images, from, outputs, x.value.buffer.pointer, inputs, weightGradient)
        }
        if let xGradient {
            try OneDNN.multiply("N", "N", images, inputs, outputs, from, outputs, weights, inputs, xGradient.pointer)
        }
    }
}
