import Shared

/// What is left, and what it costs, when the least important filters are removed in the order of the ranking.
struct PruningStep: Sendable {
    /// Filters removed.
    let removed: Int
    /// The share of the network's FLOPs that goes with them.
    let flops: Double
    /// The share of the network's parameters that goes with them.
    let parameters: Double
    /// The loss, in nats, that the model predicts before any fine-tuning.
    let loss: Double
    /// Whether masks of the ensemble disabled as many filters; beyond, the model extrapolates.
    let isWithinMeasured: Bool
    /// Whether this is the last step within.
    let isLastMeasured: Bool

    /// Steps of about one fortieth of the ranked filters, up to nine tenths of them; a layer keeps one filter.
    static func steps(of ranking: Ranking, _ record: RunRecord) -> [PruningStep] {
        let stepsMax = 36
        let graph = record.network.graph
        let space = FilterSpace(graph)
        let whole = graph.cost()
        let filters = ranking.rows.map(\.estimate.filter)
        let ensemble = record.description.ensemble
        let expected = ensemble.layers.reduce(0.0) { $0 + Double($1.count) * $1.dropRate }
        let measuredMax = expected * (1 + ensemble.design.sizeSpread / 2)
        var left = space.layers.map(\.filters.count)
        var mask = Mask(count: space.count)
        var next = 0
        var removed = 0
        let counts = (0...stepsMax).map { $0 * filters.count / 40 }
        return counts.indices.map { index in
            while removed < counts[index], next < filters.count {
                let layer = space.layerIndex(of: filters[next])
                if left[layer] > 1 {
                    mask[filters[next]] = true
                    left[layer] -= 1
                    removed += 1
                }
                next += 1
            }
            let cost = graph.cost(under: mask)
            let isWithin = Double(removed) <= measuredMax
            let isNextWithin = index + 1 < counts.count && Double(counts[index + 1]) <= measuredMax
            return PruningStep(
                removed: removed,
                flops: 1 - Double(cost.multiplyAccumulates) / Double(max(whole.multiplyAccumulates, 1)),
                parameters: 1 - Double(cost.parameters) / Double(max(whole.parameters, 1)),
                loss: ranking.fit.predictedLoss(mask), isWithinMeasured: isWithin,
                isLastMeasured: isWithin && !isNextWithin)
        }
    }
}
