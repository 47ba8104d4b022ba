/// What is left of a network when the filters that a mask disables are physically removed.
///
/// The smaller network computes exactly what the masked one does (up to the rounding of shorter sums), with frozen and
/// with recalibrated batch norms:
/// - A hidden filter goes with its batch norm and with the column of the next layer that read it.
/// - A channel of the residual stream is zero, and goes, where its convolution's filter is disabled and its shortcut
///   adds nothing: none leads there, or it comes from a channel that is gone itself. So a whole coupled group that is
///   disabled vanishes from all its layers. The shortcuts' index maps are rewritten for the channels that remain.
/// - Two things that no smaller network of this kind can express stay as *silent* filters, whose batch norm (for a
///   neuron, whose linear layer) has weight and bias zero: a disabled filter of the stream whose channel still carries its shortcut, and the first filter of
///   a layer that would otherwise lose all.
public struct Compaction: Sendable, Equatable {
    /// The shape of the smaller network.
    public let architecture: Architecture
    /// For every layer of the original's ``FilterSpace`` the filters that stay, counted within the layer, ascending
    /// and never none.
    public let kept: [[Int]]
    /// For every layer those of ``kept`` that must be silent.
    public let silent: [[Int]]

    /// Finds what stays of a network under a mask of its filter space. O(channels).
    public init(_ original: Architecture, removing mask: Mask) {
        let space = FilterSpace(original)
        precondition(mask.count == space.count, "the mask must be of this network")
        switch original {
        case .residual(let residual): self.init(residual, space, mask)
        case .fullyConnected(let connected): self.init(connected, space, mask)
        }
    }

    private init(_ original: FullyConnectedArchitecture, _ space: FilterSpace, _ mask: Mask) {
        var survivors = Survivors()
        var layers = original.layers
        for (index, layer) in space.layers.enumerated() {
            survivors.append(layer, mask)
            layers[index].output = survivors.last.count
            layers[index + 1].input = survivors.last.count
        }
        architecture = .fullyConnected(FullyConnectedArchitecture(layers: layers))
        kept = survivors.kept
        silent = survivors.silent
    }

    private init(_ original: ResidualArchitecture, _ space: FilterSpace, _ mask: Mask) {
        var survivors = Survivors()
        var smaller = original
        survivors.append(space.layers[0], mask)
        smaller.stem = survivors.last.count
        var stream = survivors.last
        for (index, block) in original.blocks.enumerated() {
            let position = Dictionary(uniqueKeysWithValues: stream.enumerated().map { ($0.element, $0.offset) })
            let sources = block.shortcut.map { source in source.flatMap { position[$0] } }

            survivors.append(space.layers[1 + 2 * index], mask)
            smaller.blocks[index].hidden = survivors.last.count
            survivors.append(space.layers[2 + 2 * index], mask, carried: { sources[$0] != nil })
            smaller.blocks[index].input = stream.count
            stream = survivors.last
            smaller.blocks[index].output = stream.count
            smaller.blocks[index].shortcut = stream.map { sources[$0] }
        }
        architecture = .residual(smaller)
        kept = survivors.kept
        silent = survivors.silent
    }

    /// The filters that stay, gathered layer by layer.
    private struct Survivors {
        var kept: [[Int]] = []
        var silent: [[Int]] = []
        var last: [Int] { kept.last ?? [] }

        /// `carried` says whether a channel has a value even where its filter is disabled.
        mutating func append(_ layer: FilterSpace.Layer, _ mask: Mask, carried: (Int) -> Bool = { _ in false }) {
            var stay = layer.filters.indices.map { $0 - layer.filters.lowerBound }.filter { filter in
                !mask[layer.filters.lowerBound + filter] || carried(filter)
            }
            if stay.isEmpty { stay = [0] }
            kept.append(stay)
            silent.append(stay.filter { mask[layer.filters.lowerBound + $0] })
        }
    }
}

extension Network {
    /// The network without the filters that a mask of its filter space disables. See ``Compaction``.
    public func removing(_ mask: Mask) -> Network {
        removing(Compaction(architecture, removing: mask))
    }

    /// The network that a compaction of its architecture describes.
    public func removing(_ compaction: Compaction) -> Network {
        var smaller = parameters
        switch architecture {
        case .residual(let residual): removeChannels(of: residual, compaction, &smaller)
        case .fullyConnected(let connected): removeNeurons(of: connected, compaction, &smaller)
        }
        return Network(architecture: compaction.architecture, parameters: smaller)
    }

    private func removeNeurons(
        of original: FullyConnectedArchitecture, _ compaction: Compaction, _ smaller: inout [String: Tensor]
    ) {
        var inputs = Array(0..<(original.layers.first?.input ?? 0))
        for (index, layer) in original.layers.enumerated() {
            let isLast = index == compaction.kept.count
            let outputs = isLast ? Array(0..<layer.output) : compaction.kept[index]
            let silent = isLast ? [] : compaction.silent[index]
            let weight = self["\(layer.name).weight"].settingRows(silent, to: 0)
            smaller["\(layer.name).weight"] = weight.selecting(rows: outputs).selecting(columns: inputs)
            smaller["\(layer.name).bias"] = self["\(layer.name).bias"].settingRows(silent, to: 0)
                .selecting(rows: outputs)
            inputs = outputs
        }
    }

    private func removeChannels(
        of original: ResidualArchitecture, _ compaction: Compaction, _ smaller: inout [String: Tensor]
    ) {
        func convolution(_ prefix: String, _ number: Int, layer: Int, inputs: [Int]) {
            let outputs = compaction.kept[layer]
            let weight = "\(prefix)conv\(number).weight"
            smaller[weight] = self[weight].selecting(rows: outputs).selecting(columns: inputs)
            for statistic in ["weight", "bias", "running_mean", "running_var"] {
                let name = "\(prefix)bn\(number).\(statistic)"
                let silent = statistic == "weight" || statistic == "bias" ? compaction.silent[layer] : []
                smaller[name] = self[name].settingRows(silent, to: 0).selecting(rows: outputs)
            }
        }
        convolution("", 1, layer: 0, inputs: Array(0..<original.imageChannels))
        var stream = compaction.kept[0]
        for (index, block) in original.blocks.enumerated() {
            convolution("\(block.name).", 1, layer: 1 + 2 * index, inputs: stream)
            convolution("\(block.name).", 2, layer: 2 + 2 * index, inputs: compaction.kept[1 + 2 * index])
            stream = compaction.kept[2 + 2 * index]
        }
        smaller["linear.weight"] = self["linear.weight"].selecting(columns: stream)
    }
}

extension Tensor {
    /// The given indices of the outermost dimension, in the given order.
    func selecting(rows: [Int]) -> Tensor {
        let size = shape.dropFirst().reduce(1, *)
        var selected: [Float] = []
        selected.reserveCapacity(rows.count * size)
        for row in rows { selected += values[row * size..<(row + 1) * size] }
        return Tensor(shape: [rows.count] + shape.dropFirst(), values: selected)
    }

    /// The given indices of the second dimension, in the given order.
    func selecting(columns: [Int]) -> Tensor {
        let size = shape.dropFirst(2).reduce(1, *)
        var selected: [Float] = []
        selected.reserveCapacity(shape[0] * columns.count * size)
        for row in 0..<shape[0] {
            for column in columns {
                let start = (row * shape[1] + column) * size
                selected += values[start..<start + size]
            }
        }
        return Tensor(shape: [shape[0], columns.count] + shape.dropFirst(2), values: selected)
    }

    /// The same with some indices of the outermost dimension filled with one value.
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
