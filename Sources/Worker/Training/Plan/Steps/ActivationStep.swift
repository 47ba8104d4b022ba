import CKernels
import Shared

/// An activation.
final class ActivationStep: PlanStep {
    private let activation: Graph.Operation.Activation
    private let x: PlanEdge
    let output: PlanValue
    private let pixels: Int
    /// A slope per channel and its gradient, if any.
    private let slopes: UnsafeMutablePointer<Float>
    private let slopeGradients: UnsafeMutablePointer<Float>
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?
    private var elementwise: Elementwise?

    init(
        _ activation: Graph.Operation.Activation, _ node: Int, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout
    ) {
        self.activation = activation
        self.x = x
        output = y
        pixels = layout.images * output.shape.pixels
        let place = layout.place(node, .weight) ?? 0
        slopes = layout.parameters.pointer + place
        slopeGradients = layout.gradient.pointer + place
    }

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        layout.read(x.value)
        let taken = layout.takeGradient(of: output)
        yGradient = taken
        let gradient = taken.holders == 0 ? taken : layout.buffer(taken.count)
        xGradient = gradient
        layout.contribute(gradient, to: x)
    }

    func prepare(_ context: OneDNN) throws {
        var gradients: Elementwise.Gradients?
        if let xGradient, let yGradient { gradients = .init(output: yGradient.pointer, input: xGradient.pointer) }
        elementwise = try Elementwise(
            context, activation, count: output.buffer.count, input: x.value.buffer.pointer,
            output: output.buffer.pointer,
            gradients: gradients)
    }

    func forward(_ statistics: NormalisationStatistics) throws {
        let (from, to, count) = (x.value.buffer.pointer, output.buffer.pointer, output.buffer.count)
        switch activation {
        case .prelu: winnow_prelu(from, pixels, output.shape.channels, slopes, to)
        case .hardSigmoid(let slope, let offset): winnow_hard_sigmoid(from, count, Float(slope), Float(offset), to)
        case .hardSwish: winnow_hard_swish(from, count, to)
        default: try elementwise?.forward()
        }
    }

    func backward() throws {
        guard let from = yGradient?.pointer, let to = xGradient?.pointer else { return }
        let (input, count) = (x.value.buffer.pointer, output.buffer.count)
        switch activation {
        case .prelu: winnow_prelu_gradient(from, input, pixels, output.shape.channels, slopes, to, slopeGradients)
        case .hardSigmoid(let slope, let offset):
            winnow_hard_sigmoid_gradient(from, input, count, Float(slope), Float(offset), to)
        case .hardSwish: winnow_hard_swish_gradient(from, input, count, to)
        default: try elementwise?.backward()
        }
    }
}
