import Shared

/// A network laid out for a fixed number of images, forward and backward. Used by one thread at a time.
protocol TrainingPlan: AnyObject {
    /// The number of images.
    var images: Int { get }
    /// Where images go: `[image, row, column, channel]` if ``channelsLast``, otherwise `[image, channel, row, column]`.
    var input: AlignedBuffer { get }
    /// The order of an image's values.
    var channelsLast: Bool { get }
    /// What the last layer puts out, `[images, classes]`, before the softmax.
    var logits: AlignedBuffer { get }
    /// The gradient of the loss with respect to ``logits``: set it before ``backward(gates:)``.
    var logitsGradient: AlignedBuffer { get }
    /// The gradients of the parameters after ``backward(gates:)``, in the order of ``ParameterLayout/trained``.
    var gradient: AlignedBuffer { get }

    /// Takes parameters in the order of ``ParameterLayout``.
    func load(trained: [Float], statistics: [Float]) throws
    /// Computes ``logits`` from ``input``.
    func forward(_ statistics: NormalisationStatistics) throws
    /// Computes ``gradient``. `gates` gets, for every layer of the network's ``FilterSpace`` (by its index), each
    /// image's gradients with respect to gates on its filters, `[images, filters]`.
    func backward(gates: ((Int, UnsafeMutableBufferPointer<Float>) -> Void)?) throws
    /// The means and unbiased variances of the last forward pass, in the order of ``ParameterLayout/statistics``.
    func batchStatistics() -> [Float]
}

/// What a plan is for.
enum PlanPurpose {
    /// Forward and backward passes: every activation is kept.
    case training
    /// Forward passes only: activations share memory.
    case inference
}

/// Lays out any network. Only convolutions know precisions other than float32.
func makePlan(
    _ graph: Graph, images: Int, purpose: PlanPurpose, precision: TrainingPrecision = .float32
) throws -> any TrainingPlan {
    switch try Architecture(graph, for: "training") {
    case .residual(let residual):
        return try ResidualPlan(residual, graph, images: images, purpose: purpose, precision: precision)
    case .fullyConnected(let connected): return FullyConnectedPlan(connected, graph, images: images)
    }
}
