import CKernels
import Shared

/// A convolution, with a bias if it has one.
///
/// Only ungrouped convolutions support precisions other than float32: the others would lose in conversions what they
/// save in arithmetic.
final class ConvolutionStep: PlanStep {
    private let operation: Graph.Operation.Convolution
    private let x: PlanEdge
    let output: PlanValue
    private let images: Int
    private let precision: TrainingPrecision
    private let weights: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>?
    private var weightGradient: UnsafeMutablePointer<Float>?
    private var biasGradient: UnsafeMutablePointer<Float>?
    private var xGradient: PlanBuffer?
    private var yGradient: PlanBuffer?
    /// The gradient in bfloat16, and whether it comes so.
    private var roundedGradient: PlanBuffer?
    private var roundsGradient = false
    private let wantsParameterGradients: Bool
    private var convolution: Convolution?

    init(_ operation: Graph.Operation.Convolution, _ node: Int, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.operation = operation
        self.x = x
        output = y
        images = layout.images
        precision = operation.groups == 1 ? layout.precision : .float32
        wantsParameterGradients = layout.wantsParameterGradients
        weights = layout.parameters.pointer + (layout.place(node, .weight) ?? 0)
        bias = layout.place(node, .bias).map { layout.parameters.pointer + $0 }
        if wantsParameterGradients {
            weightGradient = layout.place(node, .weight).map { layout.gradient.pointer + $0 }
            biasGradient = layout.place(node, .bias).map { layout.gradient.pointer + $0 }
        }
        if precision == .bfloat16 {
            x.value.isRounded = true
            output.wantsRoundedGradient = true
        }
    }

    private var isRounded: Bool { precision == .bfloat16 }

    func layOutForward(_ layout: PlanLayout) {
        readInput(layout)
        layout.write(output)
    }

    private func readInput(_ layout: PlanLayout) {
        if isRounded, let rounded = x.value.rounded { layout.use(rounded) } else { layout.read(x.value) }
    }

    func layOutBackward(_ layout: PlanLayout) {
        if let rounded = output.roundedGradient {
            layout.use(rounded)
            roundedGradient = rounded
        } else {
            yGradient = layout.takeGradient(of: output)
            if isRounded {
                roundedGradient = layout.roundedBuffer(output.buffer.count)
                roundsGradient = true
            }
        }
        if wantsParameterGradients { readInput(layout) }
        if x.value.dependsOnParameters {
            let gradient = layout.buffer(x.value.buffer.count)
            xGradient = gradient
            layout.contribute(gradient, to: x)
        }
    }

    func prepare(_ context: OneDNN) throws {
        let input: UnsafeMutableRawPointer
        if isRounded, let rounded = x.value.rounded {
            input = UnsafeMutableRawPointer(rounded.pointer)
        } else {
            input = UnsafeMutableRawPointer(x.value.buffer.pointer)
        }
        convolution = try Convolution(
            context, .init(images: images, operation: operation, input: x.value.shape, output: output.shape),
            precision: precision,
            .init(input: input, weights: weights, bias: bias, output: output.buffer.pointer),
            gradients: (roundedGradient ?? yGradient).map {
                .init(
                    output: UnsafeMutableRawPointer($0.pointer), weights: weightGradient, bias: biasGradient,
                    input: xGradient?.pointer)
            })
    }

    func load() throws { try convolution?.loadWeights() }

    func forward(_ statistics: NormalisationStatistics) throws { try convolution?.forward() }

    func backward() throws {
        if roundsGradient, let yGradient, let roundedGradient {
            winnow_round_to_bfloat16(yGradient.pointer, yGradient.count, roundedGradient.halves)
        }
        try convolution?.backward()
    }
}
