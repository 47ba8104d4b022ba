/// A trained network: its architecture and its parameters.
///
/// Parameter names are PyTorch's without a `module.` prefix. A residual network has `conv1.weight`
/// `[filters, channels, 3, 3]`, `bn1.{weight,bias,running_mean,running_var}` `[filters]`, the same under each block's
/// name for `conv1`/`bn1` and `conv2`/`bn2`, and `linear.{weight,bias}`. A fully connected network has
/// `<layer>.weight` `[outputs, inputs]` and `<layer>.bias` `[outputs]`.
public struct Network: Sendable, Equatable {
    /// The epsilon of every batch normalisation, PyTorch's default.
    public static let batchNormEpsilon: Float = 1e-5

    /// The network's shape.
    public let architecture: Architecture
    /// Every parameter and every batch-norm statistic, by name. Complete and of the architecture's shapes.
    public let parameters: [String: Tensor]

    /// Makes a network. `parameters` must hold exactly what `architecture` needs; readers of checkpoints check that.
    public init(architecture: Architecture, parameters: [String: Tensor]) {
        self.architecture = architecture
        self.parameters = parameters
    }

    /// A parameter that the architecture guarantees.
    public subscript(name: String) -> Tensor {
        guard let tensor = parameters[name] else { preconditionFailure("the network has no parameter \(name)") }
        return tensor
    }
}
