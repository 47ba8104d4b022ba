import Shared

extension AdditiveFit {
    /// The measured filters in the order in which removing them, one after the other, raises the predicted response
    /// least. Unlike the ranking it heeds that a layer's effect grows with the number removed and that layers work on
    /// each other. A layer keeps its last filter. O(filters × layers).
    public func removalOrder() -> [Int] {
        var queues = terms.layers.map { layer in
            estimates.filter { layer.filters.contains($0.filter) }.map(\.filter)
                .sorted { (coefficient(of: $0), $0) > (coefficient(of: $1), $1) }
        }
        for index in queues.indices where queues[index].count == terms.layers[index].count {
            queues[index].removeFirst()
        }
        var excess = terms.expected.map { -Double($0) }
        var order: [Int] = []
        while true {
            var best: (layer: Int, rise: Double)?
            for (layer, queue) in queues.enumerated() {
                guard let filter = queue.last else { continue }
                let rise = coefficient(of: filter) + layerRise(layer, excess)
                if rise < best?.rise ?? .infinity { best = (layer, rise) }
            }
            guard let best else { return order }
            order.append(queues[best.layer].removeLast())
            excess[best.layer] += 1
        }
    }

    private func coefficient(of filter: Int) -> Double { coefficients[terms.columnOfFilter[filter]] }

    /// The rise by a layer's own terms when one more of its filters goes.
    private func layerRise(_ layer: Int, _ excess: [Double]) -> Double {
        func term(_ column: Int) -> Double { coefficients[column] * terms.scales[column] }
        var rise = term(terms.layerColumns.lowerBound + layer)
        rise += term(terms.curvatureColumns.lowerBound + layer) * (2 * excess[layer] + 1)
        for other in terms.layers.indices where other != layer {
            guard let column = terms.interactionColumn(layer, other) else { break }
            rise += term(column) * excess[other]
        }
        return rise
    }
}

extension ModelTerms {
    /// The column of the interaction of two layers, or nil where the model has none.
    func interactionColumn(_ a: Int, _ b: Int) -> Int? {
        guard !interactionColumns.isEmpty, a != b else { return nil }
        let (low, high) = (min(a, b), max(a, b))
        return interactionColumns.lowerBound + low * layers.count - low * (low + 1) / 2 + high - low - 1
    }
}
