/// What remains of a network after physically removing the filters that a mask disables.
///
/// The smaller network computes exactly what the masked one does (up to the rounding of shorter sums), with frozen and
/// with recalibrated batch norms: an absent channel (``ChannelPresence``) is removed from every node, with the
/// parameters that make it and those that read it, and so is a channel that no longer has an effect. A channel that no
/// smaller graph of the same operations can omit stays as a *silent* channel, for example a disabled filter in a sum
/// that its shortcut keeps, the first filter of a layer that would lose all, and fill for the groups of a grouped
/// convolution. A silent channel's own parameters are zeros, and so are the weights that read it.
public struct Removal: Sendable {
    /// The smaller network.
    public let graph: Graph
    /// For every original node, the channels that stay, ascending.
    public let kept: [[Int]]
    /// For every original node, the silent ones among ``kept``.
    public let silent: [[Int]]

    /// The original network.
    let original: Graph

    /// Determines what stays of a network under a mask of its filter space. O(channels).
    ///
    /// Throws an `.internalFault` ``Failure`` if the smaller graph is unsound, which would be our bug.
    public init(_ original: Graph, removing mask: Mask) throws {
        let presence = ChannelPresence(original, FilterSpace(original), mask: mask)
        var channels = KeptChannels(original, presence.isUsed)
        channels.close()
        let isKept = channels.isKept
        kept = isKept.map { channels in channels.indices.filter { channels[$0] } }
        silent = zip(kept, presence.isPresent).map { kept, present in kept.filter { !present[$0] } }
        self.original = original
        do {
            graph = try Self.graph(of: original, kept: kept, silent: silent)
        } catch let failure as Failure {
            throw Failure(.internalFault, "removing filters made an unsound network: \(failure.description)")
        }
    }

    private static func graph(of original: Graph, kept: [[Int]], silent: [[Int]]) throws -> Graph {
        var builder = try GraphBuilder(image: original.imageShape)
        var places = [0]
        // Whether a node's silent channels are zeros.
        var keepsZero = [true]
        for (index, node) in original.nodes.enumerated().dropFirst() {
            var inputs = node.inputs.map { places[$0] }
            let isClean = node.inputs.allSatisfy { keepsZero[$0] }
            switch node.operation {
            case .convolution, .linear, .batchNorm, .affine, .select: keepsZero.append(true)
            case .activation(let activation): keepsZero.append(isClean && activation.keepsZero)
            case .add:
                for (position, input) in node.inputs.enumerated() where original.nodes[input].shape.channels > 1 {
                    let absent = keepsZero[input] ? [] : silent[input]
                    if kept[input] == kept[index], absent.isEmpty { continue }
                    let channels = Operation.places(of: kept[index], in: kept[input], without: absent)
                    inputs[position] = try builder.add("\(node.name).select", .select(channels), inputs[position])
                }
                keepsZero.append(true)
            default: keepsZero.append(isClean)
            }
            let operation = node.operation.keeping(kept, silent, of: node, at: index, in: original)
            if case .select(let channels) = operation, channels == Array(kept[node.inputs[0]].indices) {
                places.append(inputs[0])
                continue
            }
            places.append(try builder.add(node.name, operation, inputs, isExact: true))
        }
        return try builder.graph(output: places[original.output])
    }
}

extension Operation {
    /// The same operation with the kept channels of its node and its inputs.
    fileprivate func keeping(
        _ kept: [[Int]], _ silent: [[Int]], of node: Graph.Node, at index: Int, in graph: Graph
    ) -> Operation {
        switch self {
        case .convolution(var convolution):
            let filters = convolution.filters / convolution.groups
            convolution.groups =
                graph.mixesChannels(node)
                ? (convolution.groups == 1 ? 1 : Set(kept[index].map { $0 / filters }).count)
                : kept[node.inputs[0]].count
            convolution.filters = kept[index].count
            return .convolution(convolution)
        case .linear(var linear):
            linear.outputs = kept[index].count
            return .linear(linear)
        case .select(let sources):
            let input = node.inputs[0]
            let places = Self.places(of: Array(sources.indices), in: kept[input], without: silent[input], by: sources)
            return .select(kept[index].map { places[$0] })
        default: return self
        }
    }

    /// For every channel, the place of its source among the kept ones, or nil if that is removed or silent.
    fileprivate static func places(
        of channels: [Int], in kept: [Int], without silent: [Int], by sources: [Int?]? = nil
    ) -> [Int?] {
        var places: [Int: Int] = [:]
        for (place, channel) in kept.enumerated() { places[channel] = place }
        for channel in silent { places[channel] = nil }
        return channels.map { channel in
            if let sources { sources[channel].flatMap { places[$0] } } else { places[channel] }
        }
    }
}

/// The channels to keep so that the rest is a graph again.
private struct KeptChannels {
    let graph: Graph
    private(set) var isKept: [[Bool]]
    private var hasChanged = false

    init(_ graph: Graph, _ isUsed: [[Bool]]) {
        self.graph = graph
        isKept = isUsed
        isKept[0] = isKept[0].map { _ in true }
    }

    /// Adds channels until everything fits. It only ever adds, so it terminates, usually after a few passes.
    mutating func close() {
        repeat {
            hasChanged = false
            for index in graph.nodes.indices.reversed() { fit(index) }
            for index in graph.nodes.indices { fit(index) }
        } while hasChanged
    }

    private mutating func keep(_ node: Int, _ channel: Int) {
        if isKept[node][channel] { return }
        isKept[node][channel] = true
        hasChanged = true
    }

    /// Channels that are kept or removed together.
    private mutating func tie(_ node: Int, _ channel: Int, _ other: Int, _ otherChannel: Int) {
        if isKept[node][channel] {
            keep(other, otherChannel)
        } else if isKept[other][otherChannel] {
            keep(node, channel)
        }
    }

    private mutating func keepOne(_ node: Int) {
        if !isKept[node].contains(true) { keep(node, 0) }
    }

    private mutating func fit(_ index: Int) {
        let node = graph.nodes[index]
        keepOne(index)
        switch node.operation {
        case .image: break
        case .linear, .softmax: break
        case .convolution(let convolution):
            if !graph.mixesChannels(node) {
                let multiple = convolution.filters / convolution.groups
                for filter in isKept[index].indices { tie(index, filter, node.inputs[0], filter / multiple) }
            } else if convolution.groups > 1 {
                fitGroups(convolution.groups, index, node.inputs[0])
            }
        case .concatenate:
            var start = 0
            for input in node.inputs {
                for channel in isKept[input].indices { tie(index, start + channel, input, channel) }
                start += isKept[input].count
            }
        case .flatten:
            let pixels = graph.inputShape(of: node).pixels
            for channel in isKept[index].indices { tie(index, channel, node.inputs[0], channel / pixels) }
        // A removed source becomes a zero.
        case .select: break
        case .add:
            for input in node.inputs where isKept[input].count > 1 {
                // A layer that only this sum reads keeps a silent filter; any other term gets zeros between its
                // channels.
                let isOwn = isOwnLayer(input)
                for channel in isKept[index].indices {
                    if isKept[input][channel] {
                        keep(index, channel)
                    } else if isOwn, isKept[index][channel] {
                        keep(input, channel)
                    }
                }
            }
        default:
            for input in node.inputs {
                if isKept[input].count == 1 {
                    keep(input, 0)
                } else {
                    for channel in isKept[index].indices { tie(index, channel, input, channel) }
                }
            }
        }
    }

    /// Whether a node is a layer of filters with channel-wise operations after it, each with only one reader.
    private func isOwnLayer(_ index: Int) -> Bool {
        let node = graph.nodes[index]
        guard graph.readers[index].count == 1, node.inputs.count == 1 else { return false }
        switch node.operation {
        case .select, .crop, .flatten: return false
        default: return graph.mixesChannels(node) || isOwnLayer(node.inputs[0])
        }
    }

    /// A grouped convolution's groups must have the same number of channels and of filters; a group with neither is
    /// removed.
    private mutating func fitGroups(_ groups: Int, _ index: Int, _ input: Int) {
        func counts(_ node: Int) -> [Int] {
            let size = isKept[node].count / groups
            return (0..<groups).map { group in isKept[node][group * size..<(group + 1) * size].count { $0 } }
        }
        let read = counts(input)
        let made = counts(index)
        let isThere = zip(read, made).map { $0 > 0 || $1 > 0 }
        for (node, counts) in [(input, read), (index, made)] {
            let most = max(1, counts.max() ?? 1)
            let size = isKept[node].count / groups
            for group in 0..<groups where isThere[group] {
                var missing = most - counts[group]
                for channel in group * size..<(group + 1) * size where missing > 0 && !isKept[node][channel] {
                    keep(node, channel)
                    missing -= 1
                }
            }
        }
    }
}

extension Network {
    /// The network without the filters that a mask of its filter space disables. See ``Removal``.
    public func removing(_ mask: Mask) throws -> Network { removing(try Removal(graph, removing: mask)) }

    /// The network after a removal from its graph.
    public func removing(_ removal: Removal) -> Network {
        var smaller: [String: Tensor] = [:]
        for parameter in graph.parameters {
            let node = graph.nodes[parameter.node]
            let kept = removal.kept[parameter.node]
            let silent = removal.silent[parameter.node]
            let isStatistic = parameter.role == .runningMean || parameter.role == .runningVariance
            var tensor = self[parameter.name].settingRows(isStatistic ? [] : silent, to: 0).selecting(rows: kept)
            if parameter.role == .weight, parameter.shape.count > 1 {
                tensor = tensor.reading(removal, node, at: parameter.node)
            }
            smaller[parameter.name] = tensor
        }
        return Network(graph: removal.graph, parameters: smaller, facts: facts)
    }
}

extension Tensor {
    /// The weights of a node's kept filters, `[filters, channels, …]`, for the kept channels among those it reads, with
    /// zeros for the silent ones.
    fileprivate func reading(_ removal: Removal, _ node: Graph.Node, at index: Int) -> Tensor {
        let input = node.inputs[0]
        let silent = Set(removal.silent[input])
        let kept = removal.kept[input]
        func columns(_ channels: [Int], from first: Int) -> [Int?] {
            channels.map { silent.contains($0) ? nil : $0 - first }
        }
        guard case .convolution(let convolution) = node.operation, convolution.groups > 1 else {
            return selecting(columns: columns(kept, from: 0))
        }
        guard removal.original.mixesChannels(node) else { return self }
        let channels = removal.original.nodes[input].shape.channels / convolution.groups
        let filters = convolution.filters / convolution.groups
        var rows: [Tensor] = []
        var row = 0
        for group in 0..<convolution.groups {
            let count = removal.kept[index].count { $0 / filters == group }
            if count == 0 { continue }
            let part = selecting(rows: Array(row..<row + count))
            rows.append(
                part.selecting(columns: columns(kept.filter { $0 / channels == group }, from: group * channels)))
            row += count
        }
        return Tensor(
            shape: [row] + (rows.first?.shape.dropFirst() ?? []), values: rows.flatMap(\.values))
    }

    /// The given indices of the outermost dimension, in the given order.
    func selecting(rows: [Int]) -> Tensor {
        let size = shape.dropFirst().reduce(1, *)
        var selected: [Float] = []
        selected.reserveCapacity(rows.count * size)
        for row in rows { selected += values[row * size..<(row + 1) * size] }
        return Tensor(shape: [rows.count] + shape.dropFirst(), values: selected)
    }

    /// The given indices of the second dimension, in the given order; nil for zeros.
    func selecting(columns: [Int?]) -> Tensor {
        let size = shape.dropFirst(2).reduce(1, *)
        var selected: [Float] = []
        selected.reserveCapacity(shape[0] * columns.count * size)
        for row in 0..<shape[0] {
            for column in columns {
                guard let column else {
                    selected += repeatElement(0, count: size)
                    continue
                }
                let start = (row * shape[1] + column) * size
                selected += values[start..<start + size]
            }
        }
        return Tensor(shape: [shape[0], columns.count] + shape.dropFirst(2), values: selected)
    }

    /// The same with some indices of the outermost dimension set to one value.
    public func settingRows(_ rows: [Int], to value: Float) -> Tensor {
        guard !rows.isEmpty else { return self }
        let size = shape.dropFirst().reduce(1, *)
        var changed = values
        for row in rows {
            for position in row * size..<(row + 1) * size { changed[position] = value }
        }
        return Tensor(shape: shape, values: changed)
    }
}
