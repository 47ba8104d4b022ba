import CKernels
import Shared

/// A product of two values, one of which may be a single channel or pixel that is broadcast: a gate.
final class ProductStep: PlanStep {
    private let factors: [PlanEdge]
    let output: PlanValue
    private let images: Int
    private var yGradient: PlanBuffer?
    private var gradients: [PlanBuffer?] = [nil, nil]

    init(_ factors: [PlanEdge], _ y: PlanValue, _ layout: PlanLayout) {
        precondition(factors.count == 2, "a product has two factors")
        self.factors = factors
        output = y
        images = layout.images
    }

    func layOutForward(_ layout: PlanLayout) {
        for factor in factors { layout.read(factor.value) }
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        yGradient = layout.takeGradient(of: output)
        for (index, factor) in factors.enumerated() where factor.value.dependsOnParameters {
            layout.read(factors[1 - index].value)
            let gradient = layout.buffer(factor.value.buffer.count)
            gradients[index] = gradient
            layout.contribute(gradient, to: factor)
        }
    }

    func forward(_ statistics: NormalisationStatistics) {
        let (a, b) = (factors[0].value, factors[1].value)
        winnow_combine(
            a.buffer.pointer, winnow_operand(a.shape), b.buffer.pointer, winnow_operand(b.shape), true, images,
            winnow_operand(output.shape), output.buffer.pointer)
    }

    func backward() {
        guard let yGradient else { return }
        for (index, factor) in factors.enumerated() {
            guard let gradient = gradients[index] else { continue }
            let other = factors[1 - index].value
            winnow_combine_gradient(
                yGradient.pointer, winnow_operand(output.shape), other.buffer.pointer, winnow_operand(other.shape),
                images,
                winnow_operand(factor.value.shape), gradient.pointer)
        }
    }
}
