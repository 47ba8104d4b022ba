import Shared

/// Which filters of each layer the rest of the network can best do without, once the layer behind them is fitted anew as
/// ``Reconstruction`` does: as many of each layer as a mask disables, chosen one after the other by how much of what the
/// layer behind puts out could not be made up for (``LeastSquares/elimination(of:weights:targets:count:)``).
///
/// How many filters a layer can lose is a question to the whole network, which the scores of an ensemble answer. Which
/// ones is a question of what their layer's others say too, which scores of filters do not know.
///
/// Filters that nothing but the next layer reads are chosen anew; what the mask disables of the residual stream stays.
struct FilterSelection {
    private let network: Network
    private let asked: Mask
    private let images: ImageSet
    private let normalisation: Normalisation

    /// Prepares it with images that have not been used to test anything.
    init(_ network: Network, asManyAs mask: Mask, images: ImageSet, normalisation: Normalisation) {
        self.network = network
        asked = mask
        self.images = images
        self.normalisation = normalisation
    }

    /// The filters that go. Throws a ``Failure`` where a layer's equations cannot be solved.
    func mask() throws -> Mask {
        OneDNN.useOneThread()
        var chosen = asked
        switch try Architecture(network.graph, for: "the selection of filters") {
        case .residual(let architecture): try choose(architecture, &chosen)
        case .fullyConnected(let architecture): try choose(architecture, &chosen)
        }
        return chosen
    }

    private var batches: [Range<Int>] { LayerOutputs.batches(of: images) }

    /// Whether some, but not all, of a layer's filters go, so that there is a choice.
    private func isOpen(_ filters: Range<Int>) -> Bool {
        let count = filters.count { asked[$0] }
        return count > 0 && count < filters.count
    }

    /// Chooses the filters of a layer whose outputs `squares` has seen. `weights` are those of the layer behind, `[target,
    /// input]`; the inputs that a filter feeds are those that are equal to it modulo the filters.
    private func choose(
        _ filters: Range<Int>, _ squares: LeastSquares, weights: [Double], targets: [Int], _ chosen: inout Mask
    ) throws {
        let groups = (0..<filters.count).map { Array(stride(from: $0, to: squares.inputs, by: filters.count)) }
        let kept = targets.flatMap { weights[$0 * squares.inputs..<($0 + 1) * squares.inputs] }
        let gone = try squares.elimination(
            of: groups, weights: kept, targets: targets.count, count: filters.count { asked[$0] })
        for filter in filters { chosen[filter] = false }
        for filter in gone { chosen[filters.lowerBound + filter] = true }
    }

    private func choose(_ architecture: CIFARResNet, _ chosen: inout Mask) throws {
        let layers = FilterSpace(network.graph).layers
        var stream = try batches.map { range in
            try LayerOutputs.layer(
                LayerOutputs.inputs(range, of: images, normalisation, channelsLast: true), images: range.count,
                size: architecture.imageSize, stride: 1, "conv1", "bn1", of: network
            ).0
        }
        var size = architecture.imageSize
        let epsilon = Double(Network.batchNormEpsilon)
        for (index, block) in architecture.blocks.enumerated() {
            let (filters, outputs) = (layers[1 + 2 * index].filters, layers[2 + 2 * index].filters)
            let outputSize = (size - 1) / block.stride + 1
            let isOpen = isOpen(filters)
            var squares = LeastSquares(inputs: 9 * block.hidden, targets: 0)
            for (number, range) in batches.enumerated() {
                if isOpen {
                    let (hidden, _) = try LayerOutputs.layer(
                        stream[number], images: range.count, size: size, stride: block.stride, "\(block.name).conv1",
                        "\(block.name).bn1", of: network)
                    try squares.add(
                        LayerOutputs.neighbourhoods(
                            of: hidden, images: range.count, size: outputSize, channels: block.hidden),
                        AlignedBuffer(count: 0), rows: range.count * outputSize * outputSize)
                }
                stream[number] = try LayerOutputs.block(
                    block, stream[number], images: range.count, size: size, of: network)
                LayerOutputs.rectify(stream[number])
            }
            size = outputSize
            guard isOpen else { continue }
            let (scale, variance) = (
                network["\(block.name).bn2.weight"].values, network["\(block.name).bn2.running_var"].values
            )
            let weights = LayerOutputs.pixelWeights(
                network["\(block.name).conv2.weight"],
                scales: scale.indices.map { Double(scale[$0]) / (Double(variance[$0]) + epsilon).squareRoot() })
            try choose(
                filters, squares, weights: weights,
                targets: (0..<block.output).filter { !asked[outputs.lowerBound + $0] }, &chosen)
        }
    }

    private func choose(_ architecture: LinearChain, _ chosen: inout Mask) throws {
        let layers = FilterSpace(network.graph).layers
        var squares: [LeastSquares] = []
        var values = batches.map { LayerOutputs.inputs($0, of: images, normalisation, channelsLast: false) }
        for (index, layer) in architecture.layers.dropLast().enumerated() {
            squares.append(LeastSquares(inputs: layer.output, targets: 0))
            for (number, range) in batches.enumerated() {
                values[number] = try LayerOutputs.linear(
                    values[number], images: range.count, layer.name, of: network)
                LayerOutputs.rectify(values[number])
                guard isOpen(layers[index].filters) else { continue }
                try squares[index].add(
                    LayerOutputs.withConstant(values[number], rows: range.count, columns: layer.output),
                    AlignedBuffer(count: 0), rows: range.count)
            }
        }
        // From the last layer to the first, so that a layer need serve only those that stay in the next.
        for index in squares.indices.reversed() where isOpen(layers[index].filters) {
            let behind = architecture.layers[index + 1]
            let targets = (0..<behind.output).filter { target in
                index + 1 == layers.count || !chosen[layers[index + 1].filters.lowerBound + target]
            }
            try choose(
                layers[index].filters, squares[index],
                weights: network["\(behind.name).weight"].values.map(Double.init), targets: targets, &chosen)
        }
    }
}
