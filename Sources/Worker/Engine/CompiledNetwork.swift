import CKernels
import Shared

/// A batch normalisation as the kernels apply it, `scale * x + shift`, for every filter of a layer.
struct Norm {
    let scale: UnsafeMutablePointer<Float>
    let shift: UnsafeMutablePointer<Float>
}

/// A network's parameters in the kernels' forms.
final class CompiledNetwork {
    /// A convolution or a linear layer.
    struct Layer {
        let kind: Int
        /// Height and width of its input.
        let size: Int
        let stride: Int
        let channels: Int
        let filters: Int
        let weights: UnsafePointer<Float>
        /// Scale and shift by the checkpoint's statistics; for a linear layer ones and the bias.
        let norm: Norm
        /// The batch norm's own weight and bias.
        let gain: [Float]
        let offset: [Float]
        /// The batch norm's running statistics.
        let running: [ChannelStatistics]

        /// Height and width of its output.
        var outputSize: Int { (size - 1) / stride + 1 }
    }

    let graph: Graph
    let architecture: Architecture
    /// The layers of the filter space, then the last linear layer.
    private(set) var layers: [Layer] = []
    /// The memory that the parameters take.
    var bytes: Int { storage.bytes }
    private let storage = Storage()

    /// About the memory that a network's parameters would take: a Winograd weight is four times as large.
    static func bytes(_ network: Network) -> Int {
        network.parameters.values.reduce(0) { bytes, tensor in
            bytes + tensor.values.count * MemoryLayout<Float>.stride * (tensor.shape.count == 4 ? 4 : 1)
        }
    }

    /// Prepares a network.
    init(_ network: Network) throws {
        graph = network.graph
        architecture = try Architecture(network.graph, for: "the engine")
        switch architecture {
        case .residual(let residual):
            var size = residual.imageSize
            func convolution(_ prefix: String, _ index: Int, stride: Int) {
                layers.append(self.convolution(network, "\(prefix)conv\(index)", "\(prefix)bn\(index)", size, stride))
                size = (size - 1) / stride + 1
            }
            convolution("", 1, stride: 1)
            for block in residual.blocks {
                convolution("\(block.name).", 1, stride: block.stride)
                convolution("\(block.name).", 2, stride: 1)
            }
            layers.append(linear(network, "linear"))
        case .fullyConnected(let connected):
            layers = connected.layers.map { linear(network, $0.name) }
        }
    }

    private func convolution(_ network: Network, _ name: String, _ norm: String, _ size: Int, _ stride: Int) -> Layer {
        let weight = network["\(name).weight"]
        let (filters, channels) = (weight.shape[0], weight.shape[1])
        let isWinograd = stride == 1 && size % 4 == 0
        let target = storage.make((isWinograd ? 36 : 9) * weight.values.count / 9, of: Float.self)
        if isWinograd {
            winnow_winograd_weights(weight.values, Int32(filters), Int32(channels), target)
        } else {
            winnow_transposed_weights(weight.values, Int32(filters), Int32(channels), 9, target)
        }
        let gain = network["\(norm).weight"].values
        let offset = network["\(norm).bias"].values
        let running = zip(network["\(norm).running_mean"].values, network["\(norm).running_var"].values)
            .map { ChannelStatistics(mean: Double($0), variance: Double($1)) }
        let frozen = running.indices.map { batchNorm(gain[$0], offset[$0], running[$0]) }
        return Layer(
            kind: Int(isWinograd ? WINNOW_WINOGRAD : WINNOW_DIRECT), size: size, stride: stride, channels: channels,
            filters: filters, weights: UnsafePointer(target),
            norm: Norm(scale: storage.copy(frozen.map(\.scale)), shift: storage.copy(frozen.map(\.shift))),
            gain: gain, offset: offset, running: running)
    }

    private func linear(_ network: Network, _ name: String) -> Layer {
        let weight = network["\(name).weight"]
        let (filters, channels) = (weight.shape[0], weight.shape[1])
        let target = storage.make(weight.values.count, of: Float.self)
        winnow_transposed_weights(weight.values, Int32(filters), Int32(channels), 1, target)
        let bias = network["\(name).bias"].values
        return Layer(
            kind: Int(WINNOW_LINEAR), size: 1, stride: 1, channels: channels, filters: filters,
            weights: UnsafePointer(target),
            norm: Norm(
                scale: storage.copy([Float](repeating: 1, count: filters)), shift: storage.copy(bias)),
            gain: [], offset: [], running: [])
    }
}

/// What a batch normalisation knows of a channel.
struct ChannelStatistics {
    let mean: Double
    /// The population variance.
    let variance: Double

    /// These running statistics, corrected by what changes the channel's statistics on some images from `before` to
    /// `after`.
    ///
    /// Running statistics are of other images (all, cropped and mirrored) than those at hand. They are taken to differ
    /// from them by a scale and a shift that the change leaves as they are:
    /// `mean' = mean + r (mean_after - mean_before)` and `variance' + ε = r² (variance_after + ε)` with
    /// `r² = (variance + ε) / (variance_before + ε)`. Where nothing changes, neither do they.
    func corrected(from before: ChannelStatistics, to after: ChannelStatistics) -> ChannelStatistics {
        let epsilon = Double(Network.batchNormEpsilon)
        let ratio = (variance + epsilon) / (before.variance + epsilon)
        return ChannelStatistics(
            mean: mean + ratio.squareRoot() * (after.mean - before.mean),
            variance: ratio * (after.variance + epsilon) - epsilon)
    }
}

/// A batch normalisation of one filter as `scale * x + shift`, formed in double precision.
func batchNorm(_ gain: Float, _ offset: Float, _ statistics: ChannelStatistics) -> (scale: Float, shift: Float) {
    let scale = Double(gain) / (statistics.variance + Double(Network.batchNormEpsilon)).squareRoot()
    return (Float(scale), Float(Double(offset) - statistics.mean * scale))
}
