/// The layout of a network's parameters in two flat arrays: those trained by gradients, and the running statistics of
/// the batch norms. Coordinator and workers exchange parameters and gradients in this order, the order of evaluation.
public struct ParameterLayout: Sendable, Equatable {
    /// A parameter's role; weight decay may treat them differently.
    public enum Kind: Sendable, Equatable {
        /// The weights of a convolution or a linear layer.
        case weight
        /// The bias of a linear layer.
        case bias
        /// The scale or the shift of a batch normalisation.
        case normalisation
        /// A running mean.
        case mean
        /// A running variance.
        case variance
    }

    /// One tensor.
    public struct Entry: Sendable, Equatable {
        /// The checkpoint's name.
        public let name: String
        /// Its shape.
        public let shape: [Int]
        /// What it does.
        public let kind: Kind
        /// The range of its values in its array, row-major.
        public let range: Range<Int>
    }

    /// The tensors that gradients change.
    public let trained: [Entry]
    /// The running means and variances, in pairs.
    public let statistics: [Entry]

    /// The number of floats in ``trained``.
    public var trainedCount: Int { trained.last?.range.upperBound ?? 0 }
    /// The number of floats in ``statistics``.
    public var statisticsCount: Int { statistics.last?.range.upperBound ?? 0 }

    /// The layout of a network's parameters.
    public init(_ graph: Graph) {
        var trained: [Entry] = []
        var statistics: [Entry] = []
        func append(_ parameter: Graph.Parameter, _ kind: Kind, to entries: inout [Entry]) {
            let start = entries.last?.range.upperBound ?? 0
            let range = start..<start + parameter.shape.reduce(1, *)
            entries.append(Entry(name: parameter.name, shape: parameter.shape, kind: kind, range: range))
        }
        for parameter in graph.parameters {
            let isLayer = graph.isLayer(parameter.node)
            switch parameter.role {
            case .weight: append(parameter, isLayer ? .weight : .normalisation, to: &trained)
            case .bias: append(parameter, isLayer ? .bias : .normalisation, to: &trained)
            case .runningMean: append(parameter, .mean, to: &statistics)
            case .runningVariance: append(parameter, .variance, to: &statistics)
            }
        }
        self.trained = trained
        self.statistics = statistics
    }

    /// Whether a gradient followed by a batch's statistics is possible: all finite, and no variance negative.
    public func isPossible(_ row: [Float]) -> Bool {
        guard row.count == trainedCount + statisticsCount, row.allSatisfy(\.isFinite) else { return false }
        return statistics.filter { $0.kind == .variance }.allSatisfy { entry in
            entry.range.allSatisfy { row[trainedCount + $0] >= 0 }
        }
    }

    /// A network's parameters and statistics as the two arrays.
    public func flatten(_ network: Network) -> (trained: [Float], statistics: [Float]) {
        (trained.flatMap { network[$0.name].values }, statistics.flatMap { network[$0.name].values })
    }

    /// The network of two arrays of ``trainedCount`` and ``statisticsCount`` values.
    public func network(_ graph: Graph, trained: [Float], statistics: [Float]) -> Network {
        precondition(trained.count == trainedCount && statistics.count == statisticsCount, "whole arrays")
        var parameters: [String: Tensor] = [:]
        for entry in self.trained {
            parameters[entry.name] = Tensor(shape: entry.shape, values: Array(trained[entry.range]))
        }
        for entry in self.statistics {
            parameters[entry.name] = Tensor(shape: entry.shape, values: Array(statistics[entry.range]))
        }
        return Network(graph: graph, parameters: parameters)
    }
}
