import CKernels
import Shared

/// A network laid out for a fixed number of images, forward and backward. Used by one thread at a time.
///
/// It visits the graph once (``PlanBuilder``), and works for every operation. Sums have a fixed order, so the same
/// parameters and images give the same bits.
final class TrainingPlan {
    /// The number of images.
    let images: Int
    private let image: PlanValue
    private let logitsValue: PlanValue
    private let logitsGradientBuffer: PlanBuffer
    private let layout: PlanLayout
    private let steps: [any PlanStep]
    private let arena: Arena
    private let context: OneDNN

    /// Lays out a network. Only convolutions support precisions other than float32. Throws a `.badInput` ``Failure`` if
    /// a layer has more channels than the kernels support, and an `.unavailable` one if there is too little memory or
    /// the processor does not support that precision.
    init(_ graph: Graph, images: Int, purpose: PlanPurpose, precision: TrainingPrecision = .float32) throws {
        precondition(images > 0, "a plan is for some images")
        self.images = images
        let layout = PlanLayout(graph, images: images, purpose: purpose, precision: precision)
        let builder = try PlanBuilder(layout)
        let logits = builder.value(of: graph.logits)
        var logitsGradient = PlanBuffer(count: 0, at: 0)
        layout.layOut(builder.value(of: 0), builder.steps) {
            layout.read(logits)
            logitsGradient = layout.buffer(images * graph.classes)
            logits.append(logitsGradient)
        }
        arena = try PlanBuffer.place(layout.buffers)
        context = try OneDNN()
        for step in builder.steps { try step.prepare(context) }
        self.layout = layout
        image = builder.value(of: 0)
        channelsLast = !builder.isImageFlattened
        logitsValue = logits
        logitsGradientBuffer = logitsGradient
        steps = builder.steps
    }

    /// The place for images; the forward pass may overwrite them.
    var input: PlanBuffer { image.buffer }
    /// The order of an image's values in ``input``: `[row, column, channel]`, or `[channel, row, column]` if the
    /// network only sees the flattened image, which may then have any shape with as many values.
    let channelsLast: Bool
    /// The outputs before the softmax, `[images, classes]`; the backward pass may overwrite them.
    var logits: PlanBuffer { logitsValue.buffer }
    /// The gradient of the loss with respect to ``logits``: set it before ``backward()``.
    var logitsGradient: PlanBuffer { logitsGradientBuffer }
    /// After ``backward()``, in training, the gradients of the parameters in the order of ``ParameterLayout/trained``.
    var gradient: AlignedBuffer { layout.gradient }
    /// After ``backward()``, if the plan is for importance, each image's gradients with respect to gates on the
    /// filters, `[images, filters]`; see ``GateEnds``.
    var gates: AlignedBuffer { layout.gates }
    /// The means and unbiased variances of the last forward pass with the batch's statistics, in the order of
    /// ``ParameterLayout/statistics``.
    var batchStatistics: [Float] { layout.batchStatistics.values }

    /// Takes parameters in the order of ``ParameterLayout``.
    func load(trained: [Float], statistics: [Float]) throws {
        OneDNN.useOneThread()
        layout.parameters.assign(trained)
        layout.statistics.assign(statistics)
        for step in steps { try step.load() }
    }

    /// Computes ``logits`` from ``input``.
    func forward(_ statistics: NormalisationStatistics) throws {
        OneDNN.useOneThread()
        round(image)
        for step in steps {
            try step.forward(statistics)
            if !step.roundsOutput { round(step.output) }
        }
    }

    private func round(_ value: PlanValue) {
        guard let rounded = value.rounded else { return }
        winnow_round_to_bfloat16(value.buffer.pointer, value.buffer.count, rounded.halves)
    }

    /// Computes the gradients that the plan is for.
    func backward() throws {
        OneDNN.useOneThread()
        gates.clear()
        for (index, step) in steps.enumerated().reversed() where step.output.dependsOnParameters {
            try step.backward()
            for chore in layout.chores[index] { run(chore) }
        }
    }

    private func run(_ chore: PlanLayout.Chore) {
        switch chore {
        case .sum(let a, let b, let sum): winnow_sum(a.pointer, b.pointer, sum.count, sum.pointer)
        case .gates(let sums, let value, let gradient):
            sums.add(gradient.pointer, value.buffer.pointer, pixels: value.shape.pixels)
        }
    }
}
