import Shared

/// What a masked network computes, written as plainly as possible in double precision: the definition that faster code
/// is compared with.
public struct ReferenceForward {
    /// Where the batch norms' statistics come from.
    public enum Statistics: Sendable {
        /// The network's running statistics.
        case running
        /// Each layer's own mean and variance over the images given (population variance).
        case ofTheseImages
        /// The network's running statistics, corrected by how the mask changes those of the images given.
        case runningCorrected
    }

    /// What batch norms were given, by their names: the mean and variance of every channel.
    private final class Measured {
        var channels: [String: [(mean: Double, variance: Double)]] = [:]
    }

    /// Activations `[channels][images × rows × columns]`.
    struct Activations {
        var images: Int
        var size: Int
        var channels: [[Double]]
    }

    let network: Network
    let space: FilterSpace
    let mask: Mask
    let statistics: Statistics
    private let measured = Measured()
    private var unmasked: Measured?

    public init(_ network: Network, mask: Mask? = nil, statistics: Statistics = .running) {
        self.network = network
        space = FilterSpace(network.architecture)
        self.mask = mask ?? Mask(count: space.count)
        self.statistics = statistics
    }

    /// The outputs `[images][classes]` for inputs `[images][channel, row, column]`.
    public func outputs(_ inputs: [[Double]]) -> [[Double]] {
        switch network.architecture {
        case .residual(let residual):
            var forward = self
            if case .runningCorrected = statistics {
                let unmasked = ReferenceForward(network)
                _ = unmasked.outputs(inputs)
                forward.unmasked = unmasked.measured
            }
            return forward.outputs(residual, inputs)
        case .fullyConnected(let connected):
            return outputs(connected, inputs)
        }
    }

    private func outputs(_ architecture: FullyConnectedArchitecture, _ inputs: [[Double]]) -> [[Double]] {
        inputs.map { input in
            var values = input
            for (index, layer) in architecture.layers.enumerated() {
                values = linear(layer.name, values)
                guard index < space.layers.count else { break }
                values = values.enumerated().map { isDisabled(index, $0.offset) ? 0 : max($0.element, 0) }
            }
            return values
        }
    }

    private func outputs(_ architecture: ResidualArchitecture, _ inputs: [[Double]]) -> [[Double]] {
        let plane = architecture.imageSize * architecture.imageSize
        var stream = Activations(
            images: inputs.count, size: architecture.imageSize,
            channels: (0..<architecture.imageChannels).map { channel in
                inputs.flatMap { $0[channel * plane..<(channel + 1) * plane] }
            })
        stream = normalised(convolved(stream, "conv1.weight", stride: 1), "bn1", layer: 0)
        rectify(&stream)
        for (index, block) in architecture.blocks.enumerated() {
            var inner = convolved(stream, "\(block.name).conv1.weight", stride: block.stride)
            inner = normalised(inner, "\(block.name).bn1", layer: 1 + 2 * index)
            rectify(&inner)
            inner = convolved(inner, "\(block.name).conv2.weight", stride: 1)
            inner = normalised(inner, "\(block.name).bn2", layer: 2 + 2 * index)
            for (channel, source) in block.shortcut.enumerated() {
                guard let source else { continue }
                let passed = everyPixel(of: stream, channel: source, stride: block.stride)
                for position in passed.indices { inner.channels[channel][position] += passed[position] }
            }
            rectify(&inner)
            stream = inner
        }
        let area = stream.size * stream.size
        return (0..<inputs.count).map { image in
            let means = stream.channels.map { $0[image * area..<(image + 1) * area].reduce(0, +) / Double(area) }
            return linear("linear", means)
        }
    }

    private func isDisabled(_ layer: Int, _ filter: Int) -> Bool {
        mask[space.layers[layer].filters.lowerBound + filter]
    }

    private func linear(_ name: String, _ inputs: [Double]) -> [Double] {
        let weight = network["\(name).weight"].values
        return network["\(name).bias"].values.enumerated().map { row, bias in
            inputs.enumerated().reduce(Double(bias)) { sum, input in
                sum + input.element * Double(weight[row * inputs.count + input.offset])
            }
        }
    }

    private func rectify(_ activations: inout Activations) {
        for channel in activations.channels.indices {
            activations.channels[channel] = activations.channels[channel].map { max($0, 0) }
        }
    }

    private func everyPixel(of activations: Activations, channel: Int, stride: Int) -> [Double] {
        let size = activations.size
        var result: [Double] = []
        for image in 0..<activations.images {
            for row in Swift.stride(from: 0, to: size, by: stride) {
                for column in Swift.stride(from: 0, to: size, by: stride) {
                    result.append(activations.channels[channel][(image * size + row) * size + column])
                }
            }
        }
        return result
    }

    /// A 3×3 convolution with one pixel of zero padding.
    private func convolved(_ input: Activations, _ name: String, stride: Int) -> Activations {
        let weight = network[name]
        let size = (input.size + stride - 1) / stride
        var output = Activations(images: input.images, size: size, channels: [])
        for filter in 0..<weight.shape[0] {
            var values: [Double] = []
            for image in 0..<input.images {
                for row in 0..<size {
                    for column in 0..<size {
                        var sum = 0.0
                        for channel in 0..<weight.shape[1] {
                            for tap in 0..<9 {
                                let y = row * stride + tap / 3 - 1
                                let x = column * stride + tap % 3 - 1
                                guard (0..<input.size).contains(y), (0..<input.size).contains(x) else { continue }
                                sum +=
                                    input.channels[channel][(image * input.size + y) * input.size + x]
                                    * Double(weight.values[(filter * weight.shape[1] + channel) * 9 + tap])
                            }
                        }
                        values.append(sum)
                    }
                }
            }
            output.channels.append(values)
        }
        return output
    }

    /// Batch normalisation, then zero where the mask disables the filter.
    private func normalised(_ input: Activations, _ name: String, layer: Int) -> Activations {
        var output = input
        for (channel, values) in input.channels.enumerated() {
            let epsilon = Double(Network.batchNormEpsilon)
            var mean = Double(network["\(name).running_mean"].values[channel])
            var variance = Double(network["\(name).running_var"].values[channel])
            let count = Double(values.count)
            let imagesMean = values.reduce(0, +) / count
            let imagesVariance = values.reduce(0) { $0 + ($1 - imagesMean) * ($1 - imagesMean) } / count
            measured.channels[name, default: []].append((imagesMean, imagesVariance))
            switch statistics {
            case .running: break
            case .ofTheseImages: (mean, variance) = (imagesMean, imagesVariance)
            case .runningCorrected:
                guard let before = unmasked?.channels[name]?[channel] else { break }
                let ratio = (variance + epsilon) / (before.variance + epsilon)
                mean += ratio.squareRoot() * (imagesMean - before.mean)
                variance = ratio * (imagesVariance + epsilon) - epsilon
            }
            let scale = Double(network["\(name).weight"].values[channel]) / (variance + epsilon).squareRoot()
            let bias = Double(network["\(name).bias"].values[channel])
            output.channels[channel] = values.map { isDisabled(layer, channel) ? 0 : ($0 - mean) * scale + bias }
        }
        return output
    }
}
