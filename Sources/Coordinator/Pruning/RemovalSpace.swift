import Shared

/// What can be removed from a network, and the cost of what remains.
///
/// Filters come in *units* that are removed as a whole: a hidden filter or a neuron alone, or filters whose channels
/// are summed (``ChannelClasses``). Units that shrink the same layers form a *dimension*; the remaining cost depends
/// only on how many units of every dimension are left, since a layer costs its inputs times its outputs.
public struct RemovalSpace: Sendable, Equatable {
    /// Units that shrink the same layers, so removing any of them saves the same.
    public struct Dimension: Sendable, Equatable {
        /// A layer whose filters its units are.
        public struct Layer: Sendable, Equatable {
            public let name: String
            /// Filters that every unit takes from it.
            public let filtersPerUnit: Int
            /// Filters that must stay.
            public let fixed: Int
        }

        /// The layers whose filters its units are.
        public let layers: [Layer]
        /// The filters of every unit, by their numbers in the ``FilterSpace``.
        public let units: [[Int]]

        /// The filters of one unit.
        public var filtersPerUnit: Int { units.first?.count ?? 0 }
        /// The layers joined by `+`; for one layer its name.
        public var name: String { layers.map(\.name).joined(separator: "+") }
    }

    /// Every dimension's units, in the order of their first filters.
    public let dimensions: [Dimension]
    /// What the network costs.
    let cost: CostForm

    /// Everything that may be removed from a network if only `removable` filters may: coupled filters only all
    /// together. `latency` models the layers' time; nil if time does not count.
    init(_ graph: Graph, removable: Mask, latency: LatencyModel? = nil) {
        let channels = ChannelClasses(graph)
        let space = FilterSpace(graph)
        precondition(removable.count == space.count, "the filters must be of this network")

        // Two units belong together if they take as many filters from the same layers and as many channels from every
        // node.
        struct Share: Hashable {
            let layers: [Int]
            let channels: [[Int]]
        }
        let counts = channels.channelsByNode
        var order: [Share] = []
        var members: [Share: [Int]] = [:]
        for (index, unit) in channels.classes.enumerated()
        where channels.isRemovable[index] && unit.allSatisfy({ removable[$0] }) {
            let share = Share(
                layers: unit.map { space.layerIndex(of: $0) }, channels: counts[index].map { [$0.node, $0.count] })
            if members[share] == nil { order.append(share) }
            members[share, default: []].append(index)
        }
        var dimensionsOfLayer: [Int: Int] = [:]
        for layer in order.flatMap({ Set($0.layers) }) { dimensionsOfLayer[layer, default: 0] += 1 }
        dimensions = order.map { share in
            let units = (members[share] ?? []).map { channels.classes[$0] }
            var layers: [Dimension.Layer] = []
            for (place, index) in share.layers.enumerated() where share.layers.firstIndex(of: index) == place {
                let perUnit = share.layers.filter { $0 == index }.count
                // A layer in several dimensions keeps its share of the filters of each.
                let others = space.layers[index].filters.count - perUnit * units.count
                layers.append(
                    Dimension.Layer(
                        name: space.layers[index].name, filtersPerUnit: perUnit,
                        fixed: dimensionsOfLayer[index] == 1 ? others : 0))
            }
            return Dimension(layers: layers, units: units)
        }
        cost = CostForm(graph, channelsOfUnits: order.map(\.channels), latency: latency)
    }

    /// The number of filters that may be removed.
    public var filters: Int { dimensions.reduce(0) { $0 + $1.units.count * $1.filtersPerUnit } }

    /// Multiply-accumulates and parameters of the network after removing this many units of every dimension.
    public func cost(removed: [Int]) -> RemainingCost {
        precondition(removed.count == dimensions.count, "one count for each dimension")
        var result = RemainingCost()
        for layer in cost.layers { result += layer.cost(removed: removed) }
        return result
    }
}

/// What a network costs.
public struct RemainingCost: Sendable, Equatable {
    /// Multiply-accumulates of convolutions and linear layers for one image.
    public var multiplyAccumulates = 0
    /// Weights, biases, and the batch norms' weights and biases.
    public var parameters = 0
    /// The layers' time per image, by a ``LatencyModel``; 0 without one.
    var picoseconds = 0

    static func += (sum: inout RemainingCost, term: RemainingCost) {
        sum.multiplyAccumulates += term.multiplyAccumulates
        sum.parameters += term.parameters
        sum.picoseconds += term.picoseconds
    }

    static func - (a: RemainingCost, b: RemainingCost) -> RemainingCost {
        RemainingCost(
            multiplyAccumulates: a.multiplyAccumulates - b.multiplyAccumulates, parameters: a.parameters - b.parameters,
            picoseconds: a.picoseconds - b.picoseconds)
    }
}

/// A network's cost as a function of the number of units removed from every dimension.
struct CostForm: Sendable, Equatable {
    /// A number of channels: a constant, minus what each removed unit of each dimension takes away.
    struct Width: Sendable, Equatable {
        var channels: Int
        var perUnit: [(dimension: Int, channels: Int)]

        func remaining(_ removed: [Int]) -> Int {
            perUnit.reduce(channels) { $0 - $1.channels * removed[$1.dimension] }
        }

        static func == (a: Width, b: Width) -> Bool {
            a.channels == b.channels && a.perUnit.elementsEqual(b.perUnit) { $0 == $1 }
        }
    }

    /// A layer of the network.
    struct Layer: Sendable, Equatable {
        var input: Width
        var output: Width
        var form: LayerCost
        var latency: LatencyModel?

        func cost(removed: [Int]) -> RemainingCost {
            let (reading, making) = (input.remaining(removed), output.remaining(removed))
            let cost = form.cost(reading: reading, making: making)
            return RemainingCost(
                multiplyAccumulates: cost.multiplyAccumulates, parameters: cost.parameters,
                picoseconds: latency?.picoseconds(form, reading: reading, making: making) ?? 0)
        }
    }

    let layers: [Layer]
    /// For every dimension the indices of the layers that it shrinks.
    let layersOfDimension: [[Int]]

    /// `channelsOfUnits` has, for every dimension, the nodes that one unit takes channels from, and how many.
    init(_ graph: Graph, channelsOfUnits: [[[Int]]], latency: LatencyModel?) {
        var perUnit = [[(dimension: Int, channels: Int)]](repeating: [], count: graph.nodes.count)
        for (dimension, nodes) in channelsOfUnits.enumerated() {
            for pair in nodes { perUnit[pair[0]].append((dimension, pair[1])) }
        }
        func width(_ node: Int) -> Width {
            Width(channels: graph.nodes[node].shape.channels, perUnit: perUnit[node])
        }
        let layers = graph.layerCosts.map { form in
            Layer(
                input: width(graph.nodes[form.node].inputs[0]), output: width(form.node), form: form, latency: latency)
        }
        self.layers = layers
        layersOfDimension = channelsOfUnits.indices.map { dimension in
            layers.indices.filter { index in
                (layers[index].input.perUnit + layers[index].output.perUnit).contains { $0.dimension == dimension }
            }
        }
    }
}
