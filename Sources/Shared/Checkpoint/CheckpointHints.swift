/// The user's hints on a checkpoint. A state dict has names and shapes; the forward pass is convention, and may differ.
public struct CheckpointHints: Sendable, Hashable {
    /// How a parameter-free shortcut brings its input to the shape of the block's output.
    public enum Shortcut: String, Sendable, CaseIterable {
        /// Every second pixel, and channels of zeros on both sides (He et al. 2016, option A). If the channels differ
        /// by an odd number, the last one is at the end.
        case padded
        /// Every second pixel, and channels of zeros at the end.
        case paddedAtEnd = "padded-at-end"
        /// The mean of 2 × 2 pixels, and channels of zeros on both sides.
        case pooled
        /// The mean of 2 × 2 pixels, and channels of zeros at the end.
        case pooledAtEnd = "pooled-at-end"

        var isPooled: Bool { self == .pooled || self == .pooledAtEnd }
        var padsAtEnd: Bool { self == .paddedAtEnd || self == .pooledAtEnd }

        var words: String {
            switch self {
            case .padded: "shortcuts padded on both sides"
            case .paddedAtEnd: "shortcuts padded at the end"
            case .pooled: "shortcuts pooled, and padded on both sides"
            case .pooledAtEnd: "shortcuts pooled, and padded at the end"
            }
        }
    }

    /// The key of the weights to use, if the file has several dictionaries of tensors.
    public var weights: String?
    /// The activation between layers; nil for ReLU.
    public var activation: Operation.Activation?
    /// Shortcuts of residual blocks; nil for padded.
    public var shortcut: Shortcut?
    /// The epsilon of batch norms; nil for ``usualEpsilon``.
    public var epsilon: Double?
    /// The layers of a chain in their order of use; empty for the file's order.
    public var layerOrder: [String]

    /// Whether hints on a forward pass that the file contains are an error.
    public var mustBeNeeded = true

    /// PyTorch's default.
    public static let usualEpsilon = 1e-5

    /// Says something, or nothing.
    public init(
        weights: String? = nil, activation: Operation.Activation? = nil, shortcut: Shortcut? = nil,
        epsilon: Double? = nil, layerOrder: [String] = []
    ) {
        self.weights = weights
        self.activation = activation
        self.shortcut = shortcut
        self.epsilon = epsilon
        self.layerOrder = layerOrder
    }

    /// The options with which the user described the forward pass.
    var forwardOptions: [String] {
        var options: [String] = []
        if activation != nil { options.append("--activation") }
        if shortcut != nil { options.append("--shortcut") }
        if epsilon != nil { options.append("--epsilon") }
        if !layerOrder.isEmpty { options.append("--layer-order") }
        return options
    }
}

extension Operation.Activation {
    /// The activations that can be named, by their names.
    private static let named: KeyValuePairs<String, Operation.Activation> = [
        "relu": .relu, "relu6": .clip(lowest: 0, highest: 6), "leaky-relu": .leakyReLU(slope: 0.01),
        "elu": .elu(alpha: 1), "silu": .silu, "gelu": .gelu, "gelu-tanh": .geluTanh, "tanh": .tanh,
        "sigmoid": .sigmoid, "hard-swish": .hardSwish, "hard-sigmoid": .hardSigmoid(slope: 1.0 / 6, offset: 0.5),
    ]

    /// The names, for help and messages.
    public static var names: [String] { named.map(\.key) }

    /// An activation by its name; `leaky-relu` and `elu` may have their number after a colon.
    public init?(named text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let usual = Self.named.first(where: { $0.key == parts[0] })?.value else { return nil }
        self = usual
        guard parts.count == 2 else { return }
        guard let number = Double(parts[1]), number.isFinite else { return nil }
        switch usual {
        case .leakyReLU: self = .leakyReLU(slope: number)
        case .elu: self = .elu(alpha: number)
        default: return nil
        }
    }

    /// Its name in a sentence.
    var words: String {
        switch self {
        case .relu: "ReLU"
        case .leakyReLU(let slope): "leaky ReLU of slope \(slope)"
        case .elu(let alpha): "ELU of alpha \(alpha)"
        default: Self.named.first { $0.value == self }?.key ?? kindName
        }
    }
}
