import Shared

/// Chooses which filters of each layer to remove, if a mask says how many: those whose loss the layer's other filters
/// can best make up for, after a refit of the layers that read them (``Reconstruction``).
///
/// How many filters a layer can lose depends on the whole network; the scores of an ensemble answer that. Which ones
/// depends on the layer's other filters, and a filter's score knows nothing about them.
///
/// Filters are removed one by one (``Elimination``), always the one whose removal costs the layers that read it the
/// smallest share of their outputs' variation; with several readers the shares are added. Layers are handled from last
/// to first, so that a layer need serve only the filters that stay in those after it. Only filters that stand alone are
/// chosen again (``FilterSpace/Role/hidden``); of coupled ones, such as a residual stream's, those that the mask
/// disables are removed.
struct FilterSelection {
    private let network: Network
    private let asked: Mask
    private let images: FittingImages
    private let space: FilterSpace
    private let readers: [[LayerReader]]

    /// Prepares it.
    init(_ network: Network, asManyAs mask: Mask, images: FittingImages) {
        self.network = network
        asked = mask
        self.images = images
        space = FilterSpace(network.graph)
        let all = LayerReader.all(of: network.graph, space)
        readers = space.layers.indices.map { layer in all.filter { $0.inputs[layer] != nil } }
    }

    /// What was chosen.
    struct Choice {
        /// The filters that go.
        let mask: Mask
        /// The layers whose filters keep the mask's choice because a layer that reads them has too many inputs for its
        /// equations, with that layer's name.
        let skipped: [(layer: String, reader: String)]
    }

    /// Chooses the filters. Throws a ``Failure`` if a layer's equations cannot be solved or the memory is too small.
    func choice() throws -> Choice {
        var open: [Int] = []
        var skipped: [(layer: String, reader: String)] = []
        for (index, layer) in space.layers.enumerated() where layer.role == .hidden && !readers[index].isEmpty {
            let count = layer.filters.count { asked[$0] }
            guard count > 0, count < layer.filters.count else { continue }
            if let reader = readers[index].first(where: { bytes($0) > images.equationBytesMax }) {
                skipped.append((layer.name, network.graph.nodes[reader.node].name))
            } else {
                open.append(index)
            }
        }
        // The decisions so far; the filters of undecided layers all count as active.
        var decided = asked
        for layer in open { for filter in space.layers[layer].filters { decided[filter] = false } }
        while !open.isEmpty {
            try choose(takeLast(&open), &decided)
        }
        return Choice(mask: decided, skipped: skipped)
    }

    private func bytes(_ reader: LayerReader) -> Int { NormalEquations.bytes(inputs: reader.count) }

    /// The last layers whose readers' equations fit the memory together, or at least the last layer; the last layer
    /// first.
    private func takeLast(_ open: inout [Int]) -> [Int] {
        var taken: [Int] = []
        var nodes: Set<Int> = []
        var memory = 0
        while let layer = open.last {
            let new = readers[layer].filter { !nodes.contains($0.node) }
            memory += new.reduce(0) { $0 + bytes($1) }
            if !taken.isEmpty, memory > images.equationBytesMax { break }
            nodes.formUnion(new.map(\.node))
            taken.append(layer)
            open.removeLast()
        }
        return taken
    }

    /// Chooses the filters of some layers, in this order.
    private func choose(_ layers: [Int], _ decided: inout Mask) throws {
        let order = network.graph.shortWaysFirst
        let walk = images.walk(network, order: order)
        let needed = Set(layers.flatMap { readers[$0].map(\.node) })
        var equations: [Int: NormalEquations] = [:]
        let reading = Dictionary(
            layers.flatMap { readers[$0].map { ($0.node, $0) } }, uniquingKeysWith: { first, _ in first })
        for case let reader? in order.filter(needed.contains).map({ reading[$0] }) {
            equations[reader.node] = try self.equations(of: reader, walk)
        }
        var eliminations: [Int: Elimination] = [:]
        for layer in layers {
            for reader in readers[layer] {
                guard let known = equations.removeValue(forKey: reader.node) else { continue }
                eliminations[reader.node] = try elimination(reader, known, decided)
            }
            try choose(layer, &eliminations, &decided)
        }
    }

    private func equations(of reader: LayerReader, _ walk: NetworkWalk) throws -> NormalEquations {
        let rows = LayerRows(of: reader.node, in: network.graph, inputs: reader.count, images: images.count)
        let input = network.graph.nodes[reader.node].inputs[0]
        var equations: [any LeastSquares] = [NormalEquations(inputs: reader.count, targets: 0)]
        try images.add(
            rows,
            FittingImages.Source(
                walk: walk, position: walk.position(before: reader.node), channels: walk.lines(of: input)),
            to: &equations)
        guard let filled = equations.removeLast() as? NormalEquations else { preconditionFailure("they were put in") }
        return filled
    }

    /// A reader without the channels removed so far. It serves the filters of it that stay.
    private func elimination(
        _ reader: LayerReader, _ equations: consuming NormalEquations, _ decided: Mask
    ) throws -> Elimination {
        let presence = ChannelPresence(network.graph, space, mask: decided).isPresent
        let filters = presence[reader.node].indices.filter { presence[reader.node][$0] }
        var elimination = try Elimination(equations, weights: filters.flatMap { weights(of: $0, reader) })
        let read = presence[network.graph.nodes[reader.node].inputs[0]]
        for channel in read.indices where !read[channel] { try elimination.remove(reader.group(channel)) }
        return elimination
    }

    /// A filter's weights, with the scale of the batch norm that follows.
    private func weights(of filter: Int, _ reader: LayerReader) -> [Double] {
        var factor = 1.0
        if let norm = network.graph.batchNorm(after: reader.node),
            case .batchNorm(let epsilon) = network.graph.nodes[norm].operation
        {
            let name = network.graph.nodes[norm].name
            factor =
                Double(network["\(name).weight"].values[filter])
                / (Double(network["\(name).running_var"].values[filter]) + epsilon).squareRoot()
        }
        return network["\(network.graph.nodes[reader.node].name).weight"]
            .values[filter * reader.count..<(filter + 1) * reader.count].map { Double($0) * factor }
    }

    private func choose(_ layer: Int, _ eliminations: inout [Int: Elimination], _ decided: inout Mask) throws {
        let filters = space.layers[layer].filters
        var alive = Array(filters)
        for _ in 0..<filters.count(where: { asked[$0] }) {
            var best: (place: Int, cost: Double)?
            for (place, filter) in alive.enumerated() {
                let cost = try readers[layer].reduce(0.0) { sum, reader in
                    guard let elimination = eliminations[reader.node] else { return sum }
                    let cost = try elimination.cost(of: reader.group(of: filter - filters.lowerBound, layer))
                    return sum + cost / max(elimination.variation, .leastNormalMagnitude)
                }
                if cost < best?.cost ?? .infinity { best = (place, cost) }
            }
            guard let best else { throw LeastSquaresRule.notSolved(0) }
            let filter = alive.remove(at: best.place)
            decided[filter] = true
            for reader in readers[layer] {
                try eliminations[reader.node]?.remove(reader.group(of: filter - filters.lowerBound, layer))
            }
        }
    }
}

/// A convolution or linear layer that reads channels of hidden filters.
private struct LayerReader {
    /// Its place in the graph.
    let node: Int
    /// Values that each of its filters reads.
    let count: Int
    private let taps: Int
    /// For layers of the filter space, for each of their filters, the channels that it reads of that filter alone.
    let inputs: [Int: [[Int]]]

    /// The inputs from one channel.
    func group(_ channel: Int) -> [Int] { Array(channel * taps..<(channel + 1) * taps) }

    /// The inputs from one filter of a layer.
    func group(of filter: Int, _ layer: Int) -> [Int] { inputs[layer]?[filter].flatMap(group) ?? [] }

    /// The layers that mix channels of hidden filters. Channels that a grouped convolution reads are coupled.
    static func all(of graph: Graph, _ space: FilterSpace) -> [LayerReader] {
        let classes = ChannelClasses(graph)
        return graph.nodes.indices.compactMap { index in
            let node = graph.nodes[index]
            guard graph.isLayer(index), graph.mixesChannels(node) else { return nil }
            var taps = 1
            if case .convolution(let convolution) = node.operation {
                guard convolution.groups == 1 else { return nil }
                taps = convolution.kernel.height * convolution.kernel.width
            }
            var inputs: [Int: [[Int]]] = [:]
            for (channel, element) in classes.classOfChannel[node.inputs[0]].enumerated() {
                guard let filters = element.map({ classes.classes[$0] }), filters.count == 1 else { continue }
                let layer = space.layerIndex(of: filters[0])
                let all = space.layers[layer].filters
                inputs[layer, default: all.map { _ in [] }][filters[0] - all.lowerBound].append(channel)
            }
            guard !inputs.isEmpty else { return nil }
            return LayerReader(
                node: index, count: graph.inputShape(of: node).channels * taps, taps: taps, inputs: inputs)
        }
    }
}
