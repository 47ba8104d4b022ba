/// What a node of a ``Graph`` does with the channels it reads.
///
/// An operation holds attributes only; its parameters are tensors of the ``Network`` under the node's name (see
/// ``Graph/Parameter``). Shapes are `[channels, height, width]` of one image.
public enum Operation: Sendable, Hashable {
    /// The network's input. Only the first node of a graph is one.
    case image
    /// A two-dimensional convolution.
    case convolution(Convolution)
    /// A matrix product with a vector.
    case linear(Linear)
    /// Batch normalisation by running statistics: `weight · (x − mean) / √(variance + epsilon) + bias` for each channel.
    case batchNorm(epsilon: Double)
    /// `weight · x + bias` per channel, with constants of the network.
    case affine
    /// A function of each value alone.
    case activation(Activation)
    /// The sum of its inputs, which have the same shape or are broadcast: one channel or one pixel.
    case add
    /// The product of two inputs, broadcast likewise.
    case multiply
    /// The channels of all inputs, one after the other.
    case concatenate
    /// The largest value, or the mean, of a window that slides over each channel.
    case pool(Pool)
    /// Means of `height` × `width` regions that cover each channel, as PyTorch's `AdaptiveAvgPool2d` chooses them: region
    /// `i` of `n` covers rows `⌊i·H/n⌋ ..< ⌈(i+1)·H/n⌉`. 1 × 1 is the mean of the channel.
    case adaptiveAverage(Extent)
    /// A vector of all values, channel after channel, row after row.
    case flatten
    /// A channel of the input for each channel of the output; nil for a channel of zeros. Shuffles, slices and pads
    /// channels.
    case select([Int?])
    /// Every `step`-th row and column of a part of each channel.
    case crop(Crop)
    /// Zeros around each channel.
    case pad(Insets)
    /// Class probabilities. Only the last node of a graph is one; losses use its input.
    case softmax

    /// Two-dimensional extents: of a kernel, a stride, a dilation.
    public struct Extent: Sendable, Hashable, Codable {
        public var height: Int
        public var width: Int

        public init(_ height: Int, _ width: Int) {
            self.height = height
            self.width = width
        }

        /// The same in both directions.
        public init(_ both: Int) { self.init(both, both) }

        /// One row and one column.
        public static let one = Extent(1)
    }

    /// Rows and columns on each side.
    public struct Insets: Sendable, Hashable, Codable {
        public var top: Int
        public var left: Int
        public var bottom: Int
        public var right: Int

        public init(top: Int, left: Int, bottom: Int, right: Int) {
            self.top = top
            self.left = left
            self.bottom = bottom
            self.right = right
        }

        /// The same on all sides.
        public init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }

        /// Nothing on any side.
        public static let none = Insets(0)
    }

    /// A convolution. Its weight is `[filters, channels / groups, kernel height, kernel width]`.
    public struct Convolution: Sendable, Hashable {
        public var filters: Int
        public var kernel: Extent
        public var stride: Extent
        public var padding: Insets
        public var dilation: Extent
        /// Groups: a filter reads only the channels of its own group.
        public var groups: Int
        /// Whether it has a bias, `[filters]`.
        public var hasBias: Bool

        public init(
            filters: Int, kernel: Extent, stride: Extent = .one, padding: Insets = .none, dilation: Extent = .one,
            groups: Int = 1, hasBias: Bool = false
        ) {
            self.filters = filters
            self.kernel = kernel
            self.stride = stride
            self.padding = padding
            self.dilation = dilation
            self.groups = groups
            self.hasBias = hasBias
        }

        /// Whether each filter reads only one of several channels, so that it is removed with that channel.
        public func isDepthwise(of channels: Int) -> Bool { groups == channels && channels > 1 }
    }

    /// A linear layer. Its weight is `[outputs, inputs]`.
    public struct Linear: Sendable, Hashable {
        public var outputs: Int
        /// Whether it has a bias, `[outputs]`.
        public var hasBias: Bool

        public init(outputs: Int, hasBias: Bool = true) {
            self.outputs = outputs
            self.hasBias = hasBias
        }
    }

    /// Functions of one value.
    public enum Activation: Sendable, Hashable {
        /// `max(0, x)`
        case relu
        /// `x` where positive, otherwise `slope · x`
        case leakyReLU(slope: Double)
        /// `x` where positive, otherwise `weight · x`, with one weight per channel
        case prelu
        /// `min(max(x, lowest), highest)`; ReLU6 is `clip(0, 6)`
        case clip(lowest: Double, highest: Double)
        /// `1 / (1 + e⁻ˣ)`
        case sigmoid
        /// `min(max(slope · x + offset, 0), 1)`; PyTorch's has slope 1/6 and offset 1/2
        case hardSigmoid(slope: Double, offset: Double)
        /// `x · min(max(x/6 + 1/2, 0), 1)`
        case hardSwish
        /// `x / (1 + e⁻ˣ)`, also called swish
        case silu
        case tanh
        /// `x` where positive, otherwise `alpha · (eˣ − 1)`
        case elu(alpha: Double)
        /// `x · Φ(x)` with the normal distribution's Φ
        case gelu
        /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`
        case geluTanh

        /// Whether zero stays zero.
        public var keepsZero: Bool {
            switch self {
            case .sigmoid: false
            case .hardSigmoid(_, let offset): offset <= 0
            case .clip(let lowest, let highest): lowest <= 0 && highest >= 0
            default: true
            }
        }
    }

    /// A window that slides over each channel.
    public struct Pool: Sendable, Hashable {
        /// How the values in a window are combined.
        public enum Kind: String, Sendable, Codable {
            /// The largest; values outside the channel do not count.
            case max
            /// The mean.
            case average
        }

        public var kind: Kind
        public var kernel: Extent
        public var stride: Extent
        public var padding: Insets
        /// Distance between the values of a window; only the largest may use one other than 1.
        public var dilation: Extent
        /// Whether a last window that only begins within the padded channel counts.
        public var coversEnd: Bool
        /// Whether the padding's zeros count in a mean's divisor.
        public var countsPadding: Bool

        public init(
            _ kind: Kind, kernel: Extent, stride: Extent, padding: Insets = .none, dilation: Extent = .one,
            coversEnd: Bool = false, countsPadding: Bool = true
        ) {
            self.kind = kind
            self.kernel = kernel
            self.stride = stride
            self.padding = padding
            self.dilation = dilation
            self.coversEnd = coversEnd
            self.countsPadding = countsPadding
        }
    }

    /// A part of each channel.
    public struct Crop: Sendable, Hashable, Codable {
        /// The first row and column.
        public var top: Int
        public var left: Int
        /// Rows and columns from one taken to the next.
        public var step: Extent
        /// Rows and columns of the result.
        public var size: Extent

        public init(top: Int = 0, left: Int = 0, step: Extent = .one, size: Extent) {
            self.top = top
            self.left = left
            self.step = step
            self.size = size
        }
    }
}

extension Operation {
    /// Whether every output channel mixes all channels read, or all of a group: where absence ends.
    ///
    /// A depthwise convolution of `channels` does not; a single channel passes absence on to its own filters.
    public func mixesChannels(of channels: Int) -> Bool {
        switch self {
        case .linear: true
        case .convolution(let convolution): !convolution.isDepthwise(of: channels)
        case .softmax: true
        default: false
        }
    }

    /// A word for messages.
    public var kindName: String {
        switch self {
        case .image: "image"
        case .convolution: "convolution"
        case .linear: "linear"
        case .batchNorm: "batch_norm"
        case .affine: "affine"
        case .activation(let activation): activation.kindName
        case .add: "add"
        case .multiply: "multiply"
        case .concatenate: "concatenate"
        case .pool(let pool): "\(pool.kind.rawValue)_pool"
        case .adaptiveAverage: "adaptive_average"
        case .flatten: "flatten"
        case .select: "select"
        case .crop: "crop"
        case .pad: "pad"
        case .softmax: "softmax"
        }
    }
}

extension Operation.Activation {
    /// A word for files and messages.
    public var kindName: String {
        switch self {
        case .relu: "relu"
        case .leakyReLU: "leaky_relu"
        case .prelu: "prelu"
        case .clip: "clip"
        case .sigmoid: "sigmoid"
        case .hardSigmoid: "hard_sigmoid"
        case .hardSwish: "hard_swish"
        case .silu: "silu"
        case .tanh: "tanh"
        case .elu: "elu"
        case .gelu: "gelu"
        case .geluTanh: "gelu_tanh"
        }
    }
}
