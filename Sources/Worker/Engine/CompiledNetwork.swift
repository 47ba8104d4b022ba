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

        /// Height and width of its output.
        var outputSize: Int { (size - 1) / stride + 1 }
    }

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

    /// Prepares a network. Throws a `.badInput` ``Failure`` where it does not fit CIFAR-10's images.
    init(_ network: Network) throws {
        architecture = network.architecture
        switch network.architecture {
        case .residual(let residual):
            guard residual.imageSize == ImageSet.size, residual.imageChannels == ImageSet.channels else {
                throw Failure(.badInput, "the network is not for \(ImageSet.size)×\(ImageSet.size) colour images")
            }
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
            guard let first = connected.layers.first, first.input == ImageSet.imageBytes else {
                throw Failure(.badInput, "the network's first layer does not take \(ImageSet.imageBytes) values")
            }
            layers = connected.layers.map { linear(network, $0.name) }
        }
        guard layers.last?.filters == ImageSet.classes else {
            throw Failure(.badInput, "the network's last layer does not have \(ImageSet.classes) outputs")
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
        let frozen = zip(network["\(norm).running_mean"].values, network["\(norm).running_var"].values)
            .enumerated().map { index, statistics in
                batchNorm(gain[index], offset[index], mean: Double(statistics.0), variance: Double(statistics.1))
            }
        return Layer(
            kind: Int(isWinograd ? WINNOW_WINOGRAD : WINNOW_DIRECT), size: size, stride: stride, channels: channels,
            filters: filters, weights: UnsafePointer(target),
            norm: Norm(scale: storage.copy(frozen.map(\.scale)), shift: storage.copy(frozen.map(\.shift))),
            gain: gain, offset: offset)
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
            gain: [], offset: [])
    }
}

/// A batch normalisation of one filter as `scale * x + shift`, formed in double precision.
func batchNorm(_ gain: Float, _ offset: Float, mean: Double, variance: Double) -> (scale: Float, shift: Float) {
    let scale = Double(gain) / (variance + Double(Network.batchNormEpsilon)).squareRoot()
    return (Float(scale), Float(Double(offset) - mean * scale))
}
