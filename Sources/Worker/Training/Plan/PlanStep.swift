/// A part of a plan: a node of the graph, or some that are computed together.
///
/// Steps are made in the order of the forward pass. First each declares, forward and then backward, which memory it
/// reads and writes when; then the memory is placed, and ``prepare(_:)`` makes whatever needs addresses.
protocol PlanStep: AnyObject {
    /// Its output.
    var output: PlanValue { get }
    /// Whether it also writes its output in bfloat16, if needed.
    var roundsOutput: Bool { get }
    /// Declares what the forward pass uses.
    func layOutForward(_ layout: PlanLayout)
    /// Declares what the backward pass uses: takes its output's gradient and contributes to those of its inputs.
    func layOutBackward(_ layout: PlanLayout)
    /// Makes what needs addresses.
    func prepare(_ context: OneDNN) throws
    /// Takes the current parameters.
    func load() throws
    func forward(_ statistics: NormalisationStatistics) throws
    func backward() throws
}

extension PlanStep {
    var roundsOutput: Bool { false }
    func prepare(_ context: OneDNN) throws {}
    func load() throws {}
}

/// Which statistics a batch normalisation normalises with.
enum NormalisationStatistics {
    /// The batch's own, as in training.
    case batch
    /// The running ones, as in evaluation, so that images do not influence one another.
    case running
}

/// What a plan is for.
enum PlanPurpose {
    /// Forward and backward passes, for the gradients of the parameters.
    case training
    /// Forward and backward passes, for the gradients of gates on the filters.
    case importance
    /// Forward passes only.
    case inference
}
