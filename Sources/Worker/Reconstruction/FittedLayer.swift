import Shared

/// A layer of a smaller network and the batch norm after it, as one affine map of the layer's inputs.
struct FittedLayer {
    /// Filters that read the same channels, without silent channels and filters.
    struct Group {
        /// The layer's filters, and the channels that they read.
        let filters: [Int]
        let channels: [Int]
        /// The first channel of the group, from which the weights count.
        let first: Int
        let taps: Int
        /// Values that a filter reads.
        var inputs: Int { channels.count * taps }
    }

    let groups: [Group]
    private let name: String
    private let norm: (name: String, epsilon: Double)?
    private let original: Network
    private let weightShape: [Int]
    private var weight: [Float]
    private var bias: [Float]?
    /// The batch norm's scale, shift, mean and variance.
    private var scale: [Float] = []
    private var shift: [Float] = []
    private var mean: [Float] = []
    private var variance: [Float] = []

    /// Looks at a layer.
    init(_ fit: LayerFit, of network: Network, _ removal: Removal) {
        let node = network.graph.nodes[fit.smaller]
        name = node.name
        original = network
        let tensor = network["\(node.name).weight"]
        weightShape = tensor.shape
        weight = tensor.values
        bias = network.parameters["\(node.name).bias"]?.values
        norm = fit.smallerNorm.flatMap { index in
            let node = network.graph.nodes[index]
            guard case .batchNorm(let epsilon) = node.operation else { return nil }
            return (node.name, epsilon)
        }
        if let norm {
            scale = network["\(norm.name).weight"].values
            shift = network["\(norm.name).bias"].values
            mean = network["\(norm.name).running_mean"].values
            variance = network["\(norm.name).running_var"].values
        }
        let silentFilters = Self.places(removal.silent[fit.layer], in: removal.kept[fit.layer])
        let silentChannels = Self.places(removal.silent[fit.input], in: removal.kept[fit.input])
        var count = 1
        if case .convolution(let convolution) = node.operation { count = convolution.groups }
        let (filters, channels) = (node.shape.channels / count, tensor.shape[1])
        let taps = tensor.shape.dropFirst(2).reduce(1, *)
        groups = (0..<count).map { group in
            Group(
                filters: (group * filters..<(group + 1) * filters).filter { !silentFilters.contains($0) },
                channels: (group * channels..<(group + 1) * channels).filter { !silentChannels.contains($0) },
                first: group * channels, taps: taps)
        }
    }

    private static func places(_ channels: [Int], in kept: [Int]) -> Set<Int> {
        let channels = Set(channels)
        return Set(kept.indices.filter { channels.contains(kept[$0]) })
    }

    /// The batch norm's factor on a filter's output.
    private func factor(_ filter: Int) -> Double {
        guard let norm else { return 1 }
        return Double(scale[filter]) / (Double(variance[filter]) + norm.epsilon).squareRoot()
    }

    /// Where a filter's weights for a channel begin.
    private func place(_ filter: Int, _ channel: Int, _ group: Group) -> Int {
        (filter * weightShape[1] + channel - group.first) * group.taps
    }

    /// The weights of a group's filters, with their batch norms' scales folded in: `[filters, inputs]`.
    func weights(of group: Group) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(group.filters.count * group.inputs)
        for filter in group.filters {
            let factor = factor(filter)
            for channel in group.channels {
                let first = place(filter, channel, group)
                for index in first..<first + group.taps { result.append(Float(Double(weight[index]) * factor)) }
            }
        }
        return result
    }

    /// A filter's output for zero inputs.
    func constant(_ filter: Int) -> Double {
        let bias = Double(bias?[filter] ?? 0)
        guard norm != nil else { return bias }
        return Double(shift[filter]) + (bias - Double(mean[filter])) * factor(filter)
    }

    /// Gives a group's filters the weights and constants of a solution.
    ///
    /// With a batch norm, a filter's weights keep their length, which weight decay and learning rates were tuned for,
    /// and the batch norm's scale takes up the rest.
    mutating func set(_ solution: LeastSquaresSolution, for group: Group) {
        for (number, filter) in group.filters.enumerated() {
            let fitted = number * group.inputs..<(number + 1) * group.inputs
            var length = 1.0
            if let norm {
                var old = 0.0
                for channel in group.channels {
                    let first = place(filter, channel, group)
                    for index in first..<first + group.taps { old += Double(weight[index]) * Double(weight[index]) }
                }
                let new = solution.weights[fitted].reduce(0) { $0 + Double($1) * Double($1) }
                if old > 0, new > 0 { length = (new / old).squareRoot() }
                let product = solution.products[number]
                let outputVariance = product.variance / (length * length)
                scale[filter] = Float(length * (outputVariance + norm.epsilon).squareRoot())
                shift[filter] = Float(solution.constants[number] + product.mean)
                mean[filter] = Float(product.mean / length + Double(bias?[filter] ?? 0))
                variance[filter] = Float(outputVariance)
            } else {
                bias?[filter] = Float(solution.constants[number])
            }
            var source = fitted.lowerBound
            for channel in group.channels {
                let first = place(filter, channel, group)
                for index in first..<first + group.taps {
                    weight[index] = Float(Double(solution.weights[source]) / length)
                    source += 1
                }
            }
        }
    }

    /// The network with the layer's current parameters.
    var network: Network {
        var parameters = original.parameters
        func set(_ name: String, _ values: [Float]) {
            parameters[name] = Tensor(shape: [values.count], values: values)
        }
        parameters["\(name).weight"] = Tensor(shape: weightShape, values: weight)
        if let bias { set("\(name).bias", bias) }
        if let norm {
            set("\(norm.name).weight", scale)
            set("\(norm.name).bias", shift)
            set("\(norm.name).running_mean", mean)
            set("\(norm.name).running_var", variance)
        }
        return Network(graph: original.graph, parameters: parameters, facts: original.facts)
    }
}
