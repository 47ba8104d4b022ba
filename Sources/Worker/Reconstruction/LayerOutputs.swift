import CKernels
import Shared

/// What the layers of a network put out for a few images, activations channels last: for what looks at layers one by one
/// and in single precision, not for speed.
enum LayerOutputs {
    /// Images that are computed at a time.
    private static let batch = 50

    /// The images that are computed together.
    static func batches(of images: ImageSet) -> [Range<Int>] {
        stride(from: 0, to: images.count, by: batch).map { $0..<min($0 + batch, images.count) }
    }

    /// A batch of a set's images as a network's first layer takes them.
    static func inputs(
        _ range: Range<Int>, of images: ImageSet, _ normalisation: Normalisation, channelsLast: Bool
    ) -> AlignedBuffer {
        let loader = ImageLoader(images, normalisation)
        let buffer = AlignedBuffer(count: range.count * loader.valueCount)
        for (position, image) in range.enumerated() {
            loader.write(
                image, ImageLoader.Distortion(), channelsLast: channelsLast,
                to: buffer.pointer + position * loader.valueCount)
        }
        return buffer
    }

    /// Convolution, batch norm with running statistics, the sum with `adding` if it is given, and the ReLU. Returns
    /// the output and its channels.
    static func layer(
        _ input: AlignedBuffer, images: Int, size: Int, stride: Int, _ convolution: String, _ norm: String,
        of network: Network, adding: AlignedBuffer? = nil, relu: Bool = true
    ) throws -> (AlignedBuffer, Int) {
        let weights = network["\(convolution).weight"]
        let shape = Convolution.Shape(
            images: images, input: weights.shape[1], output: weights.shape[0], size: size, stride: stride)
        let output = AlignedBuffer(count: shape.outputCount)
        let stored = AlignedBuffer(count: weights.values.count)
        stored.assign(weights.values)
        let operation = try Convolution(
            try OneDNN(), shape, input: input.pointer, weights: stored.pointer, output: output.pointer, gradients: nil)
        // The operation knows the buffers by their addresses only.
        try withExtendedLifetime((input, stored, output)) {
            try operation.loadWeights()
            try operation.forward()
        }
        let scales = (0..<shape.output).map { filter in
            batchNorm(
                network["\(norm).weight"].values[filter], network["\(norm).bias"].values[filter],
                ChannelStatistics(
                    mean: Double(network["\(norm).running_mean"].values[filter]),
                    variance: Double(network["\(norm).running_var"].values[filter])),
                epsilon: Double(Network.batchNormEpsilon), bias: 0)
        }
        winnow_scale_shift(
            output.pointer, shape.outputCount / shape.output, shape.output, scales.map(\.scale), scales.map(\.shift),
            adding?.pointer, relu, output.pointer, nil)
        return (output, shape.output)
    }

    /// What a block puts out before its last ReLU.
    static func block(
        _ block: CIFARResNet.Block, _ stream: AlignedBuffer, images: Int, size: Int, of network: Network
    ) throws -> AlignedBuffer {
        let (hidden, _) = try layer(
            stream, images: images, size: size, stride: block.stride, "\(block.name).conv1", "\(block.name).bn1",
            of: network)
        return try layer(
            hidden, images: images, size: (size - 1) / block.stride + 1, stride: 1, "\(block.name).conv2",
            "\(block.name).bn2", of: network, adding: shortcut(block, stream, images: images, size: size), relu: false
        ).0
    }

    static func shortcut(
        _ block: CIFARResNet.Block, _ stream: AlignedBuffer, images: Int, size: Int
    ) -> AlignedBuffer {
        let outputSize = (size - 1) / block.stride + 1
        let output = AlignedBuffer(count: images * outputSize * outputSize * block.output)
        winnow_shortcut(
            stream.pointer, images, size, block.input, block.stride, block.shortcut.map { Int32($0 ?? -1) },
            block.output, output.pointer)
        return output
    }

    static func rectify(_ activations: AlignedBuffer) {
        for index in 0..<activations.count { activations.pointer[index] = max(activations.pointer[index], 0) }
    }

    /// What a 3×3 convolution with padding 1 reads for each pixel, `[pixel, row, column, channel]`, and a one behind it.
    static func neighbourhoods(
        of activations: AlignedBuffer, images: Int, size: Int, channels: Int
    ) -> AlignedBuffer {
        let columns = 9 * channels + 1
        let result = AlignedBuffer(count: images * size * size * columns)
        for image in 0..<images {
            for row in 0..<size {
                for column in 0..<size {
                    let target = result.pointer + ((image * size + row) * size + column) * columns
                    for offset in 0..<9 {
                        let (from, along) = (row + offset / 3 - 1, column + offset % 3 - 1)
                        guard (0..<size).contains(from), (0..<size).contains(along) else { continue }
                        (target + offset * channels).update(
                            from: activations.pointer + ((image * size + from) * size + along) * channels,
                            count: channels)
                    }
                    target[columns - 1] = 1
                }
            }
        }
        return result
    }

    /// A 3×3 convolution's weights in the order of ``neighbourhoods(of:images:size:channels:)``, `[filter, row, column,
    /// channel]`, each filter's times its scale.
    static func pixelWeights(_ weight: Tensor, scales: [Double]) -> [Double] {
        let channels = weight.shape[1]
        var result = [Double](repeating: 0, count: weight.values.count)
        for filter in 0..<weight.shape[0] {
            let start = filter * 9 * channels
            for channel in 0..<channels {
                for offset in 0..<9 {
                    result[start + offset * channels + channel] =
                        scales[filter] * Double(weight.values[start + channel * 9 + offset])
                }
            }
        }
        return result
    }

    static func pooled(_ stream: AlignedBuffer, images: Int, pixels: Int, channels: Int) -> AlignedBuffer {
        let result = AlignedBuffer(count: images * channels)
        winnow_average_pool(stream.pointer, images, pixels, channels, result.pointer)
        return result
    }

    /// A linear layer's outputs, without a ReLU, `[image, output]`.
    static func linear(
        _ input: AlignedBuffer, images: Int, _ name: String, of network: Network
    ) throws -> AlignedBuffer {
        let (weight, bias) = (network["\(name).weight"], network["\(name).bias"])
        let (weights, constants) = (AlignedBuffer(count: weight.values.count), AlignedBuffer(count: bias.values.count))
        weights.assign(weight.values)
        constants.assign(bias.values)
        let layer = DenseLayer(
            images: images, input: weight.shape[1], output: weight.shape[0], relu: false, x: input.pointer,
            weights: weights.pointer, bias: constants.pointer)
        // The layer knows the buffers by their addresses only.
        try withExtendedLifetime((input, weights, constants)) { try layer.forward() }
        return layer.y
    }

    /// The given neurons of a layer's outputs; all where nil.
    static func selecting(
        _ neurons: [Int]?, of outputs: AlignedBuffer, images: Int, from count: Int
    ) -> AlignedBuffer {
        let neurons = neurons ?? Array(0..<count)
        let result = AlignedBuffer(count: images * neurons.count)
        for image in 0..<images {
            for (place, neuron) in neurons.enumerated() {
                result.pointer[image * neurons.count + place] = outputs.pointer[image * count + neuron]
            }
        }
        return result
    }

    /// Rows with a one behind each.
    static func withConstant(_ values: AlignedBuffer, rows: Int, columns: Int) -> AlignedBuffer {
        let result = AlignedBuffer(count: rows * (columns + 1))
        for row in 0..<rows {
            (result.pointer + row * (columns + 1)).update(from: values.pointer + row * columns, count: columns)
            result.pointer[row * (columns + 1) + columns] = 1
        }
        return result
    }
}
