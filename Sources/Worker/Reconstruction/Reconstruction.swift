import CKernels
import Shared

/// The network without the filters that a mask disables, with the layers behind them fitted anew, so that on some images
/// each puts out as nearly as it can what it put out before: linear least squares, as He, Zhang and Sun (2017),
/// "Channel pruning for accelerating very deep neural networks", section 3.1, fit what reads a pruned layer.
///
/// Of a residual network the second convolution of every block is fitted, in order: what it adds to the shortcut shall
/// give the unpruned network's stream, so that it also makes up for what the blocks before it left wrong. Its batch
/// norm gets the statistics of its outputs, and a scale and shift that leave them as they are. The last linear layer is
/// fitted where channels of the stream went. Of a fully connected network every layer but the first is fitted.
struct Reconstruction {
    /// Images that are computed at a time.
    private static let batch = 50

    private let original: Network
    private let compaction: Compaction
    private let images: ImageSet
    private let normalisation: Normalisation

    /// Prepares it with images that have not been used to test anything.
    init(_ original: Network, removing mask: Mask, images: ImageSet, normalisation: Normalisation) {
        self.original = original
        compaction = Compaction(original.architecture, removing: mask)
        self.images = images
        self.normalisation = normalisation
    }

    /// The smaller network. Throws a ``Failure`` where a layer's equations cannot be solved.
    func network() throws -> Network {
        OneDNN.useOneThread()
        var smaller = original.removing(compaction)
        var parameters = smaller.parameters
        switch (original.architecture, smaller.architecture) {
        case (.residual(let before), .residual(let after)):
            try fit(before, after, smaller, &parameters)
        case (.fullyConnected(let before), .fullyConnected(let after)):
            try fit(before, after, &parameters)
        default: preconditionFailure("a compaction keeps the kind of network")
        }
        smaller = Network(architecture: smaller.architecture, parameters: parameters)
        return smaller
    }

    private var batches: [Range<Int>] {
        stride(from: 0, to: images.count, by: Self.batch).map { $0..<min($0 + Self.batch, images.count) }
    }

    private func inputs(_ range: Range<Int>, channelsLast: Bool) -> AlignedBuffer {
        let loader = ImageLoader(images, normalisation)
        let buffer = AlignedBuffer(count: range.count * ImageSet.imageBytes)
        for (position, image) in range.enumerated() {
            loader.write(
                image, ImageLoader.Distortion(), channelsLast: channelsLast,
                to: buffer.pointer + position * ImageSet.imageBytes)
        }
        return buffer
    }

    // MARK: Residual networks

    private func fit(
        _ before: ResidualArchitecture, _ after: ResidualArchitecture, _ smaller: Network,
        _ parameters: inout [String: Tensor]
    ) throws {
        // The streams of both networks, batch by batch, [image, row, column, channel].
        var wanted: [AlignedBuffer] = []
        var stream: [AlignedBuffer] = []
        var size = before.imageSize
        for range in batches {
            let x = inputs(range, channelsLast: true)
            wanted.append(try Self.layer(x, images: range.count, size: size, stride: 1, "conv1", "bn1", of: original).0)
            stream.append(try Self.layer(x, images: range.count, size: size, stride: 1, "conv1", "bn1", of: smaller).0)
        }
        for (index, block) in before.blocks.enumerated() {
            let small = after.blocks[index]
            let kept = compaction.kept[2 + 2 * index]
            let outputSize = (size - 1) / block.stride + 1
            var squares = LeastSquares(inputs: 9 * small.hidden, targets: kept.count)
            var hidden: [AlignedBuffer] = []
            var carried: [AlignedBuffer] = []
            for (number, range) in batches.enumerated() {
                let pixels = range.count * outputSize * outputSize
                let target = try Self.block(block, wanted[number], images: range.count, size: size, of: original)
                let (inner, _) = try Self.layer(
                    stream[number], images: range.count, size: size, stride: block.stride, "\(small.name).conv1",
                    "\(small.name).bn1", of: smaller)
                let shortcut = Self.shortcut(small, stream[number], images: range.count, size: size)
                let missing = AlignedBuffer(count: pixels * kept.count)
                for pixel in 0..<pixels {
                    for (place, channel) in kept.enumerated() {
                        missing.pointer[pixel * kept.count + place] =
                            target.pointer[pixel * block.output + channel]
                            - shortcut.pointer[pixel * kept.count + place]
                    }
                }
                let neighbourhoods = Self.neighbourhoods(
                    of: inner, images: range.count, size: outputSize, channels: small.hidden)
                try squares.add(neighbourhoods, missing, rows: pixels)
                Self.rectify(target)
                wanted[number] = target
                hidden.append(inner)
                carried.append(shortcut)
            }
            let silent = compaction.silent[2 + 2 * index].compactMap { kept.firstIndex(of: $0) }
            try replace(small, squares, silent: silent, &parameters)
            let fitted = Network(architecture: smaller.architecture, parameters: parameters)
            for (number, range) in batches.enumerated() {
                stream[number] =
                    try Self.layer(
                        hidden[number], images: range.count, size: outputSize, stride: 1, "\(small.name).conv2",
                        "\(small.name).bn2", of: fitted, adding: carried[number]
                    ).0
            }
            size = outputSize
        }
        let channels = before.blocks.last?.output ?? before.stem
        let left = after.blocks.last?.output ?? after.stem
        guard left < channels else { return }
        var squares = LeastSquares(inputs: left, targets: before.classes)
        for (number, range) in batches.enumerated() {
            let before = Self.pooled(wanted[number], images: range.count, pixels: size * size, channels: channels)
            let after = Self.pooled(stream[number], images: range.count, pixels: size * size, channels: left)
            let target = try Self.linear(before, images: range.count, "linear", of: original)
            try squares.add(
                Self.withConstant(after, rows: range.count, columns: left), target, rows: range.count)
        }
        try replace("linear", squares, silent: [], &parameters)
    }

    /// Puts fitted weights into a block's second convolution and batch norm. A filter's weights keep their length, on
    /// which weight decay and learning rates were set, and the batch norm's scale takes up the rest.
    private func replace(
        _ block: ResidualArchitecture.Block, _ squares: LeastSquares, silent: [Int],
        _ parameters: inout [String: Tensor]
    ) throws {
        let names = ["weight", "bias", "running_mean", "running_var"].map { "\(block.name).bn2.\($0)" }
        guard let weight = parameters["\(block.name).conv2.weight"] else { return }
        var norm = names.map { parameters[$0]?.values ?? [] }
        let inputs = squares.inputs
        let channels = inputs / 9
        // Between [channel, row, column] and [row, column, channel].
        func place(_ channel: Int, _ offset: Int) -> (stored: Int, fitted: Int) {
            (channel * 9 + offset, offset * channels + channel)
        }
        let epsilon = Double(Network.batchNormEpsilon)
        var known = [Double](repeating: 0, count: weight.values.count)
        for filter in 0..<squares.targets {
            let scale = Double(norm[0][filter]) / (Double(norm[3][filter]) + epsilon).squareRoot()
            for channel in 0..<channels {
                for offset in 0..<9 {
                    let (stored, fitted) = place(channel, offset)
                    known[filter * inputs + fitted] = scale * Double(weight.values[filter * inputs + stored])
                }
            }
        }
        let solution = try squares.solve(near: known)
        var values = weight.values
        for filter in 0..<squares.targets where !silent.contains(filter) {
            let range = filter * inputs..<(filter + 1) * inputs
            let old = values[range].reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let new = solution.weights[range].reduce(0) { $0 + $1 * $1 }.squareRoot()
            let factor = old > 0 && new > 0 ? new / old : 1
            let scaled = solution.weights[range].map { $0 / factor }
            for channel in 0..<channels {
                for offset in 0..<9 {
                    let (stored, fitted) = place(channel, offset)
                    values[range.lowerBound + stored] = Float(scaled[fitted])
                }
            }
            let statistics = squares.moments(of: scaled[...])
            norm[0][filter] = Float(factor * (statistics.variance + epsilon).squareRoot())
            norm[1][filter] = Float(solution.constants[filter] + factor * statistics.mean)
            norm[2][filter] = Float(statistics.mean)
            norm[3][filter] = Float(statistics.variance)
        }
        parameters["\(block.name).conv2.weight"] = Tensor(shape: weight.shape, values: values)
        for (name, values) in zip(names, norm) { parameters[name] = Tensor(shape: [values.count], values: values) }
    }

    /// Convolution, batch norm with running statistics, the sum with `adding` if it is given, and the ReLU. Returns
    /// the output and its channels.
    private static func layer(
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
                    variance: Double(network["\(norm).running_var"].values[filter])))
        }
        winnow_scale_shift(
            output.pointer, shape.outputCount / shape.output, shape.output, scales.map(\.scale), scales.map(\.shift),
            adding?.pointer, relu, output.pointer)
        return (output, shape.output)
    }

    /// What a block puts out before its last ReLU.
    private static func block(
        _ block: ResidualArchitecture.Block, _ stream: AlignedBuffer, images: Int, size: Int, of network: Network
    ) throws -> AlignedBuffer {
        let (hidden, _) = try layer(
            stream, images: images, size: size, stride: block.stride, "\(block.name).conv1", "\(block.name).bn1",
            of: network)
        return try layer(
            hidden, images: images, size: (size - 1) / block.stride + 1, stride: 1, "\(block.name).conv2",
            "\(block.name).bn2", of: network, adding: shortcut(block, stream, images: images, size: size), relu: false
        ).0
    }

    private static func shortcut(
        _ block: ResidualArchitecture.Block, _ stream: AlignedBuffer, images: Int, size: Int
    ) -> AlignedBuffer {
        let outputSize = (size - 1) / block.stride + 1
        let output = AlignedBuffer(count: images * outputSize * outputSize * block.output)
        winnow_shortcut(
            stream.pointer, images, size, block.input, block.stride, block.shortcut.map { Int32($0 ?? -1) },
            block.output, output.pointer)
        return output
    }

    private static func rectify(_ activations: AlignedBuffer) {
        for index in 0..<activations.count { activations.pointer[index] = max(activations.pointer[index], 0) }
    }

    /// What a 3×3 convolution with padding 1 reads for each pixel, `[pixel, row, column, channel]`, and a one behind it.
    private static func neighbourhoods(
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

    private static func pooled(_ stream: AlignedBuffer, images: Int, pixels: Int, channels: Int) -> AlignedBuffer {
        let result = AlignedBuffer(count: images * channels)
        winnow_average_pool(stream.pointer, images, pixels, channels, result.pointer)
        return result
    }

    // MARK: Linear layers

    private func fit(
        _ before: FullyConnectedArchitecture, _ after: FullyConnectedArchitecture,
        _ parameters: inout [String: Tensor]
    ) throws {
        var wanted = try batches.map { range in
            try Self.linear(
                inputs(range, channelsLast: false), images: range.count, before.layers[0].name, of: original)
        }
        var values = zip(batches, wanted).map { range, outputs in
            Self.selecting(compaction.kept.first, of: outputs, images: range.count, from: before.layers[0].output)
        }
        for index in 1..<max(before.layers.count, 1) {
            let name = before.layers[index].name
            let kept = index < compaction.kept.count ? compaction.kept[index] : nil
            var squares = LeastSquares(inputs: after.layers[index].input, targets: after.layers[index].output)
            for (number, range) in batches.enumerated() {
                Self.rectify(wanted[number])
                Self.rectify(values[number])
                wanted[number] = try Self.linear(wanted[number], images: range.count, name, of: original)
                let target = Self.selecting(
                    kept, of: wanted[number], images: range.count, from: before.layers[index].output)
                try squares.add(
                    Self.withConstant(values[number], rows: range.count, columns: squares.inputs), target,
                    rows: range.count)
            }
            let silent = index < compaction.silent.count ? compaction.silent[index] : []
            try replace(name, squares, silent: silent.compactMap { kept?.firstIndex(of: $0) }, &parameters)
            let fitted = Network(architecture: .fullyConnected(after), parameters: parameters)
            for (number, range) in batches.enumerated() {
                values[number] = try Self.linear(values[number], images: range.count, name, of: fitted)
            }
        }
    }

    private func replace(
        _ layer: String, _ squares: LeastSquares, silent: [Int], _ parameters: inout [String: Tensor]
    ) throws {
        guard let weight = parameters["\(layer).weight"], let bias = parameters["\(layer).bias"] else { return }
        let solution = try squares.solve(near: weight.values.map(Double.init))
        parameters["\(layer).weight"] = Tensor(shape: weight.shape, values: solution.weights.map { Float($0) })
            .settingRows(silent, to: 0)
        parameters["\(layer).bias"] = Tensor(shape: bias.shape, values: solution.constants.map { Float($0) })
            .settingRows(silent, to: 0)
    }

    /// A linear layer's outputs, without a ReLU, `[image, output]`.
    private static func linear(
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
    private static func selecting(
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
    private static func withConstant(_ values: AlignedBuffer, rows: Int, columns: Int) -> AlignedBuffer {
        let result = AlignedBuffer(count: rows * (columns + 1))
        for row in 0..<rows {
            (result.pointer + row * (columns + 1)).update(from: values.pointer + row * columns, count: columns)
            result.pointer[row * (columns + 1) + columns] = 1
        }
        return result
    }
}
