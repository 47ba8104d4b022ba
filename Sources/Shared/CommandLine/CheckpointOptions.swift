/// The options that describe what a checkpoint does not contain.
public struct CheckpointOptions {
    @Option(
        "Key of the weights to use, if the checkpoint has several (raw and averaged ones, for instance).",
        value: "KEY") var weights: String?
    @Option(
        "Activation between layers of a checkpoint without a graph, if not relu: "
            + "\(Operation.Activation.names.dropFirst().joined(separator: ", ")); leaky-relu:SLOPE, elu:ALPHA.",
        value: "NAME") var activation: ActivationName?
    @Option(
        "Parameter-free shortcuts in a checkpoint without a graph: padded (zero channels on both sides; the "
            + "default), padded-at-end, pooled (means of 2 by 2 pixels) or pooled-at-end.", value: "FORM")
    var shortcut: CheckpointHints.Shortcut?
    @Option("Epsilon of batch norms in a checkpoint without a graph, if not 1e-5.", value: "NUMBER")
    var epsilon: Double?
    @Option(
        "Order of a fully connected network's layers, if it differs from the checkpoint's.",
        value: "NAME,NAME,…") var layerOrder: String?

    /// Makes the options with their defaults.
    public init() {}

    /// Complains of values that cannot be. Throws a `.usage` ``Failure``.
    public func validate() throws {
        if let epsilon, !(epsilon >= 0 && epsilon < 1) {
            throw Failure(.usage, "--epsilon must be at least 0 and below 1, not \(epsilon)")
        }
    }

    /// The user's hints.
    public var hints: CheckpointHints {
        CheckpointHints(
            weights: weights, activation: activation?.activation, shortcut: shortcut, epsilon: epsilon,
            layerOrder: layerOrder.map { $0.split(separator: ",").map { $0.filter { $0 != " " } } } ?? [])
    }
}

/// An activation by its name.
struct ActivationName: ArgumentValue {
    let activation: Operation.Activation
    let argumentText: String

    init?(argument: String) {
        guard let activation = Operation.Activation(named: argument) else { return nil }
        self.activation = activation
        argumentText = argument
    }

    static var expectation: String { "one of \(Operation.Activation.names.joined(separator: ", "))" }
    static var choices: [String] { Operation.Activation.names }
}

extension CheckpointHints.Shortcut: ArgumentValue {}
