extension Network {
    /// The L1 norm of every filter, by its number in the ``FilterSpace``: the sum of its weights' absolute values,
    /// without batch norm and bias (Li et al., "Pruning Filters for Efficient ConvNets", 2017). O(weights).
    public var l1Norms: [Double] {
        FilterSpace(graph).layers.flatMap { layer in
            let weights = self["\(layer.name).weight"].values
            let size = weights.count / max(layer.filters.count, 1)
            return (0..<layer.filters.count).map { filter in
                weights[filter * size..<(filter + 1) * size].reduce(0) { $0 + Double(abs($1)) }
            }
        }
    }
}
