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
    private let original: Network
    private let removal: Removal
    private let images: ImageSet
    private let normalisation: Normalisation

    /// Prepares it with images that have not been used to test anything.
    init(_ original: Network, removing mask: Mask, images: ImageSet, normalisation: Normalisation) throws {
        self.original = original
        removal = try Removal(original.graph, removing: mask)
        self.images = images
        self.normalisation = normalisation
    }

    /// The smaller network. Throws a ``Failure`` where a layer's equations cannot be solved.
    func network() throws -> Network {
        OneDNN.useOneThread()
        var smaller = original.removing(removal)
        var parameters = smaller.parameters
        let purpose = "reconstruction"
        switch (try Architecture(original.graph, for: purpose), try Architecture(smaller.graph, for: purpose)) {
        case (.residual(let before), .residual(let after)):
            try fit(before, after, smaller, &parameters)
        case (.fullyConnected(let before), .fullyConnected(let after)):
            try fit(before, after, smaller.graph, &parameters)
        default: preconditionFailure("a removal keeps the kind of network")
        }
        smaller = Network(graph: smaller.graph, parameters: parameters)
        return smaller
    }

    /// For every layer whose filters can be disabled those that stay.
    private var kept: [[Int]] { FilterSpace(original.graph).layers.map { removal.kept[$0.node] } }
    /// For every such layer those of them that are silent.
    private var silent: [[Int]] { FilterSpace(original.graph).layers.map { removal.silent[$0.node] } }

    private var batches: [Range<Int>] { LayerOutputs.batches(of: images) }

    // MARK: Residual networks

    private func fit(
        _ before: CIFARResNet, _ after: CIFARResNet, _ smaller: Network,
        _ parameters: inout [String: Tensor]
    ) throws {
        // The streams of both networks, batch by batch, [image, row, column, channel].
        var wanted: [AlignedBuffer] = []
        var stream: [AlignedBuffer] = []
        var size = before.imageSize
        for range in batches {
            let x = LayerOutputs.inputs(range, of: images, normalisation, channelsLast: true)
            wanted.append(
                try LayerOutputs.layer(x, images: range.count, size: size, stride: 1, "conv1", "bn1", of: original).0)
            stream.append(
                try LayerOutputs.layer(x, images: range.count, size: size, stride: 1, "conv1", "bn1", of: smaller).0)
        }
        for (index, block) in before.blocks.enumerated() {
            let small = after.blocks[index]
            let kept = self.kept[2 + 2 * index]
            let outputSize = (size - 1) / block.stride + 1
            var squares = LeastSquares(inputs: 9 * small.hidden, targets: kept.count)
            var hidden: [AlignedBuffer] = []
            var carried: [AlignedBuffer] = []
            for (number, range) in batches.enumerated() {
                let pixels = range.count * outputSize * outputSize
                let target = try LayerOutputs.block(
                    block, wanted[number], images: range.count, size: size, of: original)
                let (inner, _) = try LayerOutputs.layer(
                    stream[number], images: range.count, size: size, stride: block.stride, "\(small.name).conv1",
                    "\(small.name).bn1", of: smaller)
                let shortcut = LayerOutputs.shortcut(small, stream[number], images: range.count, size: size)
                let missing = AlignedBuffer(count: pixels * kept.count)
                for pixel in 0..<pixels {
                    for (place, channel) in kept.enumerated() {
                        missing.pointer[pixel * kept.count + place] =
                            target.pointer[pixel * block.output + channel]
                            - shortcut.pointer[pixel * kept.count + place]
                    }
                }
                let neighbourhoods = LayerOutputs.neighbourhoods(
                    of: inner, images: range.count, size: outputSize, channels: small.hidden)
                try squares.add(neighbourhoods, missing, rows: pixels)
                LayerOutputs.rectify(target)
                wanted[number] = target
                hidden.append(inner)
                carried.append(shortcut)
            }
            let silent = self.silent[2 + 2 * index].compactMap { kept.firstIndex(of: $0) }
            try replace(small, squares, silent: silent, &parameters)
            let fitted = Network(graph: smaller.graph, parameters: parameters)
            for (number, range) in batches.enumerated() {
                stream[number] =
                    try LayerOutputs.layer(
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
            let before = LayerOutputs.pooled(
                wanted[number], images: range.count, pixels: size * size, channels: channels)
            let after = LayerOutputs.pooled(stream[number], images: range.count, pixels: size * size, channels: left)
            let target = try LayerOutputs.linear(before, images: range.count, "linear", of: original)
            try squares.add(
                LayerOutputs.withConstant(after, rows: range.count, columns: left), target, rows: range.count)
        }
        try replace("linear", squares, silent: [], &parameters)
    }

    /// Puts fitted weights into a block's second convolution and batch norm. A filter's weights keep their length, on
    /// which weight decay and learning rates were set, and the batch norm's scale takes up the rest.
    private func replace(
        _ block: CIFARResNet.Block, _ squares: LeastSquares, silent: [Int],
        _ parameters: inout [String: Tensor]
    ) throws {
        let names = ["weight", "bias", "running_mean", "running_var"].map { "\(block.name).bn2.\($0)" }
        guard let weight = parameters["\(block.name).conv2.weight"] else { return }
        var norm = names.map { parameters[$0]?.values ?? [] }
        let inputs = squares.inputs
        let channels = inputs / 9
        let epsilon = Double(Network.batchNormEpsilon)
        let known = LayerOutputs.pixelWeights(
            weight, scales: norm[0].indices.map { Double(norm[0][$0]) / (Double(norm[3][$0]) + epsilon).squareRoot() })
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
                    values[range.lowerBound + channel * 9 + offset] = Float(scaled[offset * channels + channel])
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

    // MARK: Linear layers

    private func fit(
        _ before: LinearChain, _ after: LinearChain, _ graph: Graph,
        _ parameters: inout [String: Tensor]
    ) throws {
        var wanted = try batches.map { range in
            try LayerOutputs.linear(
                LayerOutputs.inputs(range, of: images, normalisation, channelsLast: false), images: range.count,
                before.layers[0].name, of: original)
        }
        var values = zip(batches, wanted).map { range, outputs in
            LayerOutputs.selecting(
                kept.first, of: outputs, images: range.count, from: before.layers[0].output)
        }
        for index in 1..<max(before.layers.count, 1) {
            let name = before.layers[index].name
            let kept = index < self.kept.count ? self.kept[index] : nil
            var squares = LeastSquares(inputs: after.layers[index].input, targets: after.layers[index].output)
            for (number, range) in batches.enumerated() {
                LayerOutputs.rectify(wanted[number])
                LayerOutputs.rectify(values[number])
                wanted[number] = try LayerOutputs.linear(wanted[number], images: range.count, name, of: original)
                let target = LayerOutputs.selecting(
                    kept, of: wanted[number], images: range.count, from: before.layers[index].output)
                try squares.add(
                    LayerOutputs.withConstant(values[number], rows: range.count, columns: squares.inputs), target,
                    rows: range.count)
            }
            let silent = index < self.silent.count ? self.silent[index] : []
            try replace(name, squares, silent: silent.compactMap { kept?.firstIndex(of: $0) }, &parameters)
            let fitted = Network(graph: graph, parameters: parameters)
            for (number, range) in batches.enumerated() {
                values[number] = try LayerOutputs.linear(values[number], images: range.count, name, of: fitted)
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

}
