import Shared

/// A layer of a pruned network to refit, and its target.
struct LayerFit {
    /// The convolution or linear layer in the unpruned graph, and the node that it reads.
    let layer: Int
    let input: Int
    /// The batch norm after it there, if it is the layer's only reader.
    let norm: Int?
    /// The node of the unpruned graph with the target values: a sum that the layer's output goes into, otherwise its
    /// batch norm or the layer itself.
    let target: Int
    /// The same layer in the smaller graph, and the batch norm.
    let smaller: Int
    let smallerNorm: Int?
    /// The node of the smaller graph that its output is added to if the target is a sum.
    let added: Int?

    /// The layers of a pruned network to refit, in computation order.
    ///
    /// These are the layers that lost some of the channels they read, and those whose output goes straight into a sum
    /// with the result of earlier removals: they can make up for what the other summand lacks. That summand must be
    /// computed, and final, when the layer is fitted; in ``Graph/shortWaysFirst`` a shortcut is. Any other layer keeps
    /// its old output as target, since its readers expect just that.
    static func all(_ removal: Removal, of original: Graph, removing mask: Mask, order: [Int]) -> [LayerFit] {
        var rank = [Int](repeating: 0, count: original.nodes.count)
        for (place, node) in order.enumerated() { rank[node] = place }
        let smaller = removal.graph
        let places = Dictionary(uniqueKeysWithValues: smaller.nodes.enumerated().map { ($0.element.name, $0.offset) })
        // Whether a node lacks channels that the mask removed, and whether its values have changed.
        let space = FilterSpace(original)
        let (before, after) = (ChannelPresence(original, space), ChannelPresence(original, space, mask: mask))
        let lacks = zip(before.isPresent, after.isPresent).map { zip($0, $1).contains { $0 && !$1 } }
        var isChanged = lacks
        for (index, node) in original.nodes.enumerated() where node.inputs.contains(where: { isChanged[$0] }) {
            isChanged[index] = true
        }
        return order.compactMap { layer in
            let node = original.nodes[layer]
            guard original.isLayer(layer), isChanged[node.inputs[0]], let place = places[node.name] else { return nil }
            let norm = original.batchNorm(after: layer)
            let end = norm ?? layer
            var sum: (target: Int, added: Int)?
            if let reader = original.readers[end].first, original.readers[end].count == 1,
                let other = original.otherSummand(of: reader, beside: end), rank[other] < rank[layer],
                removal.kept[reader] == removal.kept[end],
                let smallEnd = places[original.nodes[end].name], let small = places[original.nodes[reader].name],
                let added = smaller.otherSummand(of: small, beside: smallEnd)
            {
                sum = (reader, added)
            }
            let readsLess = lacks[node.inputs[0]] && original.mixesChannels(node)
            guard readsLess || sum != nil else { return nil }
            return LayerFit(
                layer: layer, input: node.inputs[0], norm: norm, target: sum?.target ?? end, smaller: place,
                smallerNorm: norm.flatMap { places[original.nodes[$0].name] }, added: sum?.added)
        }
    }
}

extension Graph {
    /// The addend of a node in a sum of two nodes of one shape; nil if it is not such a sum.
    fileprivate func otherSummand(of sum: Int, beside node: Int) -> Int? {
        let inputs = nodes[sum].inputs
        guard nodes[sum].operation == .add, inputs.count == 2, inputs[0] != inputs[1], inputs.contains(node),
            inputs.allSatisfy({ nodes[$0].shape == nodes[sum].shape })
        else { return nil }
        return inputs[0] == node ? inputs[1] : inputs[0]
    }
}
