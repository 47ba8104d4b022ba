/// The greedy steps: each dimension's offers are kept from step to step, and recomputed only if the last step changed
/// what they save.
extension PruningChoice {
    /// No progress of a step, a difference of two shares, is further than this from what its numbers say exactly.
    private static let roundingMax = 0x1p-48

    /// A removal of further units of one dimension.
    private struct Offer {
        var move: Move
        var lossChange: Double
        var saving: PruningBudget.Amount
    }

    /// One dimension's offers, the smallest removal first.
    private struct Offers {
        var all: [Offer] = []
        /// No offer's price is below this, unless it saves more than needed; then only if it lowers the loss.
        var priceMin = Double.infinity
        /// Whether one of the offers lowers the loss.
        var lowersLoss = false

        /// A lower bound on all prices. The largest removal saves the most.
        func priceMin(excess: PruningBudget.Amount, start: PruningBudget.Amount) -> Double {
            guard lowersLoss, let most = all.last?.saving else { return priceMin }
            return excess.isReduced(byAllOf: most, start: start) ? priceMin : -.infinity
        }
    }

    /// Removes units until the budget holds, in every step those with the least loss per saved excess. A step takes
    /// O(dimensions), plus O(reach) for each dimension that may be the best or that shares a layer with the one that
    /// shrinks.
    func takeSteps(from state: inout State) {
        let start = excess(state)
        let neighbours = dimensionsSharingLayers
        var trial = state
        var offers = allowed.indices.map { self.offers(of: $0, from: &trial, start: start) }
        while let move = bestMove(among: offers, excess: excess(state), start: start) {
            apply(move, to: &state)
            apply(move, to: &trial)
            for dimension in neighbours[move.dimension] {
                offers[dimension] = self.offers(of: dimension, from: &trial, start: start)
            }
        }
    }

    /// For every dimension, those that shrink some of the same layers, including itself.
    private var dimensionsSharingLayers: [Set<Int>] {
        var dimensionsOfLayer = [[Int]](repeating: [], count: space.cost.layers.count)
        for (dimension, layers) in space.cost.layersOfDimension.enumerated() {
            for layer in layers { dimensionsOfLayer[layer].append(dimension) }
        }
        return space.cost.layersOfDimension.map { layers in Set(layers.flatMap { dimensionsOfLayer[$0] }) }
    }

    /// A dimension's offers in a state, which is modified and restored.
    private func offers(of dimension: Int, from state: inout State, start: PruningBudget.Amount) -> Offers {
        var offers = Offers()
        let current = Move(dimension: dimension, step: state.steps[dimension])
        let cost = state.cost
        let removedFilters = state.removedFilters
        let end = min(allowed[dimension].count, current.step + 1 + Self.reach)
        for step in current.step + 1..<max(current.step + 1, end) {
            let move = Move(dimension: dimension, step: step)
            let lossChange = lossChange(move, from: state)
            apply(move, to: &state)
            let saved = cost - state.cost
            let saving = PruningBudget.Amount(
                multiplyAccumulates: saved.multiplyAccumulates, parameters: saved.parameters,
                picoseconds: saved.picoseconds,
                filters: state.removedFilters - removedFilters)
            apply(current, to: &state)
            offers.all.append(Offer(move: move, lossChange: lossChange, saving: saving))

            if lossChange < 0 { offers.lowersLoss = true }
            let progress = saving.share(of: start) + (lossChange < 0 ? -Self.roundingMax : Self.roundingMax)
            let price = progress > 0 ? lossChange / progress : -.infinity
            if price < offers.priceMin { offers.priceMin = price }
        }
        return offers
    }

    /// The removal with the least loss per saved excess, the first of equals, or nil if the budget holds.
    private func bestMove(
        among offers: [Offers], excess: PruningBudget.Amount, start: PruningBudget.Amount
    ) -> Move? {
        guard !excess.isNone else { return nil }
        let share = excess.share(of: start)
        var best: (move: Move, price: Double)?
        func consider(_ dimension: Int) {
            for offer in offers[dimension].all {
                let progress = share - excess.reduced(by: offer.saving).share(of: start)
                guard progress > 0 else { continue }
                let price = offer.lossChange / progress
                if price < best?.price ?? .infinity { best = (offer.move, price) }
            }
        }
        // A likely best one shows which dimensions need not be checked.
        let pricesMin = offers.map { $0.priceMin(excess: excess, start: start) }
        if let likely = pricesMin.indices.min(by: { pricesMin[$0] < pricesMin[$1] }) { consider(likely) }
        let limit = best?.price ?? .infinity
        best = nil
        for dimension in offers.indices where pricesMin[dimension] <= limit { consider(dimension) }
        return best?.move
    }
}
