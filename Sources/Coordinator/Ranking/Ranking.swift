import Shared

/// The filters of a network by importance, the least important first.
public struct Ranking: Sendable {
    /// One filter.
    public struct Row: Sendable {
        /// Its place: 1 is the least important filter.
        public let rank: Int
        /// Its layer's name.
        public let layer: String
        /// Its number within the layer.
        public let filter: Int
        /// The masks' estimate for it.
        public let estimate: AdditiveFit.Estimate
        /// The sum of its weights' absolute values.
        public let l1Norm: Double
        /// Parameters saved by removing this filter alone.
        public let parameters: Int
        /// Multiply-accumulates for one image saved by removing this filter alone.
        public let multiplyAccumulates: Int
    }

    /// How a ranking agrees with another score of the filters.
    public struct Agreement: Sendable, Equatable, Codable {
        /// Spearman's ρ; nil if one side is constant.
        public let spearman: Double?
        /// Kendall's τ-b; nil if one side is constant.
        public let kendall: Double?
    }

    /// The filters by importance; equal ones by number.
    public let rows: [Row]
    /// The layer and number of ranked filters about which the masks say nothing.
    public let unmeasured: [(layer: String, filter: Int)]
    /// The fit.
    public let fit: AdditiveFit
    /// Agreement with the L1 norm divided by its mean over the layer.
    public let agreementWithL1: Agreement
    /// The same within each layer, by the layer's name.
    public let agreementWithL1ByLayer: [(layer: String, agreement: Agreement)]

    /// Ranks a network's filters by a fit.
    public init(_ fit: AdditiveFit, of network: Network) {
        let space = FilterSpace(network.graph)
        let norms = network.l1Norms
        let costs = Self.costs(of: fit.estimates.map(\.filter), network.graph, space)
        let order = fit.estimates.indices.sorted {
            (fit.estimates[$0].importance, fit.estimates[$0].filter)
                < (fit.estimates[$1].importance, fit.estimates[$1].filter)
        }
        rows = order.enumerated().map { place, index in
            let estimate = fit.estimates[index]
            let layer = space.layers[space.layerIndex(of: estimate.filter)]
            return Row(
                rank: place + 1, layer: layer.name, filter: estimate.filter - layer.filters.lowerBound,
                estimate: estimate, l1Norm: norms[estimate.filter], parameters: costs[index].parameters,
                multiplyAccumulates: costs[index].multiplyAccumulates)
        }
        unmeasured = fit.unmeasured.map { filter in
            let layer = space.layers[space.layerIndex(of: filter)]
            return (layer.name, filter - layer.filters.lowerBound)
        }
        self.fit = fit

        var relative = norms
        for layer in space.layers {
            let mean = norms[layer.filters].reduce(0, +) / Double(max(layer.filters.count, 1))
            if mean > 0 { for filter in layer.filters { relative[filter] = norms[filter] / mean } }
        }
        func agreement(_ estimates: [AdditiveFit.Estimate]) -> Agreement {
            let importances = estimates.map(\.importance)
            let scores = estimates.map { relative[$0.filter] }
            return Agreement(
                spearman: RankCorrelation.spearman(importances, scores),
                kendall: RankCorrelation.kendall(importances, scores))
        }
        agreementWithL1 = agreement(fit.estimates)
        agreementWithL1ByLayer = fit.layers.compactMap { effect in
            guard let layer = space.layer(named: effect.name) else { return nil }
            return (layer.name, agreement(fit.estimates.filter { layer.filters.contains($0.filter) }))
        }
    }

    /// The savings from removing each filter alone. Hidden filters of a layer all save the same.
    private static func costs(
        of filters: [Int], _ graph: Graph, _ space: FilterSpace
    ) -> [(parameters: Int, multiplyAccumulates: Int)] {
        let whole = graph.cost()
        func saving(_ filter: Int) -> (parameters: Int, multiplyAccumulates: Int) {
            let rest = graph.cost(under: Mask(count: space.count, disabled: [filter]))
            return (whole.parameters - rest.parameters, whole.multiplyAccumulates - rest.multiplyAccumulates)
        }
        var ofLayer: [Int: (parameters: Int, multiplyAccumulates: Int)] = [:]
        return filters.map { filter in
            let layer = space.layerIndex(of: filter)
            guard space.layers[layer].role == .hidden else { return saving(filter) }
            if let known = ofLayer[layer] { return known }
            let cost = saving(filter)
            ofLayer[layer] = cost
            return cost
        }
    }
}
