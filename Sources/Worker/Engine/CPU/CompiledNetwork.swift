import CKernels
import Shared

/// A scale and a shift for every output channel of a stage, as the kernels apply them; nil for a stage without.
struct Norm {
    let scale: UnsafeMutablePointer<Float>
    let shift: UnsafeMutablePointer<Float>
}

/// A network's parameters in the kernels' forms.
final class CompiledNetwork {
    /// The channels that one group of a convolution reads and makes. Other layers are a single part.
    struct Part {
        let channels: Range<Int>
        let filters: Range<Int>
        let weights: UnsafePointer<Float>
    }

    /// How a stage's norm follows from its channels' statistics on some images.
    enum Rule {
        /// Through a batch norm of the layer's output (which includes a bias).
        case batchNorm(gain: [Float], offset: [Float], running: [ChannelStatistics], epsilon: Double)
        /// A layer without one: restores the unmasked network's mean and deviation.
        case restored
    }

    /// One stage's parameters.
    struct Layer {
        /// Of the kernels: ``WINNOW_WINOGRAD`` and so on, or ``WINNOW_ELEMENTWISE`` and so on.
        let kind: Int32
        /// A convolution's or a linear layer's groups; empty for a channel-wise operation.
        let parts: [Part]
        /// A depthwise convolution's weights, `[channel, taps]`.
        let depthwise: UnsafePointer<Float>?
        /// From the network's own statistics and biases.
        let norm: Norm?
        /// The layer's bias; empty for none.
        let bias: [Float]
        /// Nil if statistics change nothing.
        let rule: Rule?
        /// A parametric activation's slopes.
        let slopes: UnsafePointer<Float>?
    }

    let graph: Graph
    let stages: Stages
    /// The stages with compiled parameters: all, or some.
    let compiled: Range<Int>
    private var layers: [Layer] = []
    /// The memory of the parameters.
    var bytes: Int { storage.bytes }
    private let storage = Storage()

    /// The approximate memory of a network's parameters: a Winograd weight is four times as large.
    static func bytes(_ network: Network) -> Int {
        network.graph.parameters.reduce(0) { bytes, parameter in
            let isWide = parameter.shape.count == 4 && parameter.shape[2...] == [3, 3]
            return bytes + parameter.shape.reduce(1, *) * MemoryLayout<Float>.stride * (isWide ? 4 : 1)
        }
    }

    /// Prepares a network.
    convenience init(_ network: Network) {
        let stages = Stages(network.graph)
        self.init(network, stages, only: stages.list.indices)
    }

    /// Prepares some stages of a network.
    init(_ network: Network, _ stages: Stages, only compiled: Range<Int>) {
        graph = network.graph
        self.stages = stages
        self.compiled = compiled
        layers = stages.list[compiled].map { layer($0, of: network) }
    }

    /// A stage's parameters.
    subscript(stage: Int) -> Layer { layers[stage - compiled.lowerBound] }

    /// The stages whose norms depend on statistics of images.
    func ownNorms(_ source: EvaluationSettings.BatchNorm.Source) -> Set<Int> {
        Set(
            compiled.filter { stage in
                switch (source, self[stage].rule) {
                case (.frozen, _), (_, nil): false
                case (_, .batchNorm): true
                case (.recalibrated, .restored): false
                case (.corrected, .restored): true
                }
            })
    }

    private func layer(_ stage: Stage, of network: Network) -> Layer {
        let name = graph.nodes[stage.node].name
        let isLayer = graph.isLayer(stage.node)
        let bias = isLayer ? network.parameters["\(name).bias"]?.values ?? [] : []
        var rule: Rule?
        var scales = bias.isEmpty ? [] : [Float](repeating: 1, count: stage.shape.channels)
        var shifts = bias
        if let node = stage.norm {
            let norm = graph.nodes[node].name
            let gain = network["\(norm).weight"].values
            let offset = network["\(norm).bias"].values
            if case .batchNorm(let epsilon) = graph.nodes[node].operation {
                let running = zip(
                    network["\(norm).running_mean"].values, network["\(norm).running_var"].values
                ).map { ChannelStatistics(mean: Double($0), variance: Double($1)) }
                let frozen = running.indices.map {
                    batchNorm(gain[$0], offset[$0], running[$0], epsilon: epsilon, bias: bias.isEmpty ? 0 : bias[$0])
                }
                scales = frozen.map(\.scale)
                shifts = frozen.map(\.shift)
                rule = .batchNorm(gain: gain, offset: offset, running: running, epsilon: epsilon)
            } else {
                scales = gain
                shifts = offset
            }
        } else if graph.lacksBatchNorm(stage.node) {
            rule = .restored
        }
        var slopes: UnsafePointer<Float>?
        if let activation = stage.activation, activation.function == .prelu {
            slopes = UnsafePointer(
                storage.copy(network["\(graph.nodes[activation.node].name).weight"].values))
        }
        let (kind, parts) = parts(of: stage, network)
        var depthwise: UnsafePointer<Float>?
        if case .depthwise = stage.kind { depthwise = UnsafePointer(storage.copy(network["\(name).weight"].values)) }
        return Layer(
            kind: kind, parts: parts, depthwise: depthwise,
            norm: scales.isEmpty ? nil : Norm(scale: storage.copy(scales), shift: storage.copy(shifts)), bias: bias,
            rule: rule, slopes: slopes)
    }

    private func parts(of stage: Stage, _ network: Network) -> (kind: Int32, parts: [Part]) {
        switch stage.kind {
        case .elementwise: return (Int32(WINNOW_ELEMENTWISE), [])
        case .multiply: return (Int32(WINNOW_MULTIPLY), [])
        case .depthwise: return (Int32(WINNOW_DEPTHWISE), [])
        case .pool(let pool):
            return (Int32(pool.kind == .max ? WINNOW_MAX_POOL : WINNOW_AVERAGE_POOL), [])
        case .adaptiveAverage: return (Int32(WINNOW_ADAPTIVE_AVERAGE), [])
        case .copy: return (Int32(WINNOW_COPY), [])
        case .layer(let convolution):
            let kind = Self.kind(of: convolution, stage)
            let taps = convolution.kernel.height * convolution.kernel.width
            let weight = network["\(graph.nodes[stage.node].name).weight"].values
            let channels = stage.inputs[0].count / convolution.groups
            let filters = convolution.filters / convolution.groups
            let parts = (0..<convolution.groups).map { group in
                let values = Array(weight[group * filters * channels * taps..<(group + 1) * filters * channels * taps])
                return Part(
                    channels: group * channels..<(group + 1) * channels,
                    filters: group * filters..<(group + 1) * filters,
                    weights: weights(values, kind, filters: filters, channels: channels, taps: taps))
            }
            return (Int32(kind), parts)
        }
    }

    private func weights(
        _ values: [Float], _ kind: Int, filters: Int, channels: Int, taps: Int
    ) -> UnsafePointer<Float> {
        let isWinograd = kind == Int(WINNOW_WINOGRAD)
        let target = storage.make((isWinograd ? 36 : taps) * filters * channels, of: Float.self)
        if isWinograd {
            winnow_winograd_weights(values, Int32(filters), Int32(channels), target)
        } else {
            winnow_transposed_weights(values, Int32(filters), Int32(channels), Int32(taps), target)
        }
        return UnsafePointer(target)
    }

    /// Winograd's algorithm takes 36 products for a tile of 4 × 4 outputs, full or not, instead of 9 per output.
    private static func kind(of convolution: Graph.Operation.Convolution, _ stage: Stage) -> Int {
        if convolution.kernel == .one, convolution.padding == .none { return Int(WINNOW_POINTWISE) }
        let isEligible =
            convolution.kernel == .init(3) && convolution.stride == .one && convolution.padding == .init(1)
            && convolution.dilation == .one
        let tiles = ((stage.shape.height + 3) / 4) * ((stage.shape.width + 3) / 4)
        return Int(isEligible && 36 * tiles < 9 * stage.shape.pixels ? WINNOW_WINOGRAD : WINNOW_DIRECT)
    }
}
