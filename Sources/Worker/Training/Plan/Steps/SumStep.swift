import CKernels
import Shared

/// A sum of two or more values, some of which may be a single channel or pixel that is broadcast.
final class SumStep: PlanStep {
    private let terms: [PlanEdge]
    let output: PlanValue
    private let images: Int
    private var yGradient: PlanBuffer?
    /// The gradients of the terms that are broadcast.
    private var reduced: [(term: PlanEdge, gradient: PlanBuffer)] = []

    init(_ terms: [PlanEdge], _ y: PlanValue, _ layout: PlanLayout) {
        self.terms = terms
        output = y
        images = layout.images
    }

    func layOutForward(_ layout: PlanLayout) {
        for term in terms { layout.read(term.value) }
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        let taken = layout.takeGradient(of: output)
        yGradient = taken
        // It belongs to every term, so the sum with another part of a term's gradient must not overwrite it.
        taken.holders += 1
        for term in terms where term.value.dependsOnParameters {
            if term.value.shape == output.shape {
                layout.contribute(taken, to: term)
            } else {
                let gradient = layout.buffer(term.value.buffer.count)
                reduced.append((term, gradient))
                layout.contribute(gradient, to: term)
            }
        }
        taken.holders -= 1
    }

    func forward(_ statistics: NormalisationStatistics) {
        var (sum, extents) = (terms[0].value.buffer.pointer, winnow_operand(terms[0].value.shape))
        let target = winnow_operand(output.shape)
        for term in terms.dropFirst() {
            winnow_combine(
                sum, extents, term.value.buffer.pointer, winnow_operand(term.value.shape), false, images, target,
                output.buffer.pointer)
            (sum, extents) = (output.buffer.pointer, target)
        }
    }

    func backward() {
        guard let yGradient else { return }
        for (term, gradient) in reduced {
            winnow_combine_gradient(
                yGradient.pointer, winnow_operand(output.shape), nil, winnow_operand(), images,
                winnow_operand(term.value.shape), gradient.pointer)
        }
    }
}

extension winnow_operand {
    /// The extents of a value.
    init(_ shape: Shape) { self.init(pixels: shape.pixels, channels: shape.channels) }
}
