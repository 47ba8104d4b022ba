import Shared

/// What can be removed from a network, and what remains then costs.
///
/// Filters come in *units* that are removed whole: a hidden filter or a neuron alone, a coupled group of a residual
/// stream together. Units that shrink the same layers form a *dimension*; the cost of what remains depends only on how
/// many units of every dimension are left, since a layer costs its inputs times its outputs.
public struct RemovalSpace: Sendable, Equatable {
    /// Units that shrink the same layers, so that removing any of them saves the same.
    public struct Dimension: Sendable, Equatable {
        /// The layers that it shrinks, joined by `+`; for one layer its name.
        public let name: String
        /// The filters of every unit, by their numbers in the ``FilterSpace``.
        public let units: [[Int]]

        /// The filters of one unit.
        public var filtersPerUnit: Int { units.first?.count ?? 0 }
    }

    /// What every dimension's units are, in the order of their first filters.
    public let dimensions: [Dimension]
    /// What the network costs.
    let cost: CostForm

    /// Everything that may be removed from a network when only `removable` filters may: a coupled group only if all
    /// its filters are.
    public init(_ architecture: Architecture, removable: Mask) {
        let space = FilterSpace(architecture)
        precondition(removable.count == space.count, "the filters must be of this network")
        let hidden = space.layers.filter { $0.role == .hidden }.flatMap { $0.filters.map { [$0] } }
        let units = (hidden + CoupledGroups(architecture).groups)
            .filter { $0.allSatisfy { removable[$0] } }
            .sorted { $0[0] < $1[0] }

        // Two units belong together if they take as many filters from the same layers.
        var order: [[Int]] = []
        var unitsOfLayers: [[Int]: [[Int]]] = [:]
        for unit in units {
            let layers = unit.map { space.layerIndex(of: $0) }
            if unitsOfLayers[layers] == nil { order.append(layers) }
            unitsOfLayers[layers, default: []].append(unit)
        }
        dimensions = order.map { layers in
            Dimension(
                name: layers.map { space.layers[$0].name }.joined(separator: "+"), units: unitsOfLayers[layers] ?? [])
        }
        cost = CostForm(architecture, space, layersOfDimensions: order, units: dimensions.map(\.units.count))
    }

    /// The number of filters that may be removed.
    public var filters: Int { dimensions.reduce(0) { $0 + $1.units.count * $1.filtersPerUnit } }

    /// Multiply-accumulates and parameters of the network when so many units of every dimension are removed.
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

    static func += (sum: inout RemainingCost, term: RemainingCost) {
        sum.multiplyAccumulates += term.multiplyAccumulates
        sum.parameters += term.parameters
    }

    static func - (a: RemainingCost, b: RemainingCost) -> RemainingCost {
        RemainingCost(
            multiplyAccumulates: a.multiplyAccumulates - b.multiplyAccumulates, parameters: a.parameters - b.parameters)
    }
}

/// A network's cost as a function of how many units are removed from every dimension.
struct CostForm: Sendable, Equatable {
    /// A number of channels: what is always there, less what each dimension takes away for each removed unit.
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

    /// A convolution (with its batch norm) or a linear layer.
    struct Layer: Sendable, Equatable {
        var input: Width
        var output: Width
        /// Weights of one input-output pair.
        var taps: Int
        /// Positions at which the outputs are computed.
        var positions: Int
        /// Parameters of one output besides its weights: a bias, or a batch norm's weight and bias.
        var parametersPerOutput: Int

        func cost(removed: [Int]) -> RemainingCost {
            let outputs = output.remaining(removed)
            let weights = taps * input.remaining(removed) * outputs
            return RemainingCost(
                multiplyAccumulates: weights * positions, parameters: weights + outputs * parametersPerOutput)
        }
    }

    let layers: [Layer]
    /// For every dimension the indices of the layers that it shrinks.
    let layersOfDimension: [[Int]]

    init(_ architecture: Architecture, _ space: FilterSpace, layersOfDimensions: [[Int]], units: [Int]) {
        /// The width of the output of a layer of the filter space.
        func width(_ layer: Int) -> Width {
            var perUnit: [(dimension: Int, channels: Int)] = []
            for (dimension, layers) in layersOfDimensions.enumerated() {
                let channels = layers.count { $0 == layer }
                if channels > 0 { perUnit.append((dimension, channels)) }
            }
            return Width(channels: space.layers[layer].filters.count, perUnit: perUnit)
        }
        func fixed(_ channels: Int) -> Width { Width(channels: channels, perUnit: []) }

        var layers: [Layer] = []
        switch architecture {
        case .residual(let residual):
            var size = residual.imageSize
            func convolution(_ input: Width, _ output: Width) -> Layer {
                Layer(input: input, output: output, taps: 9, positions: size * size, parametersPerOutput: 2)
            }
            var stream = width(0)
            layers.append(convolution(fixed(residual.imageChannels), stream))
            for (index, block) in residual.blocks.enumerated() {
                size = (size + block.stride - 1) / block.stride
                let hidden = width(1 + 2 * index)
                layers.append(convolution(stream, hidden))
                stream = width(2 + 2 * index)
                layers.append(convolution(hidden, stream))
            }
            layers.append(
                Layer(
                    input: stream, output: fixed(residual.classes), taps: 1, positions: 1, parametersPerOutput: 1))
        case .fullyConnected(let connected):
            var input = fixed(connected.layers.first?.input ?? 0)
            for (index, layer) in connected.layers.enumerated() {
                let output = index < space.layers.count ? width(index) : fixed(layer.output)
                layers.append(Layer(input: input, output: output, taps: 1, positions: 1, parametersPerOutput: 1))
                input = output
            }
        }
        self.layers = layers
        layersOfDimension = layersOfDimensions.indices.map { dimension in
            layers.indices.filter { index in
                (layers[index].input.perUnit + layers[index].output.perUnit).contains { $0.dimension == dimension }
            }
        }
    }
}
