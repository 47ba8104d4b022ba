import Shared

extension Graph {
    /// A topological order in which the inputs of a node are computed from the least deep to the deepest: the shortcut
    /// before the layers that it bridges, so the last of them knows what its output will be added to.
    var shortWaysFirst: [Int] {
        var depth = [Int](repeating: 0, count: nodes.count)
        for (index, node) in nodes.enumerated() {
            depth[index] = node.inputs.reduce(0) { max($0, depth[$1] + 1) }
        }
        var order: [Int] = []
        var isSeen = [Bool](repeating: false, count: nodes.count)
        // Nodes whose inputs are being computed, and those inputs that are not yet, the next one last.
        var open: [(node: Int, inputs: [Int])] = []
        func visit(_ node: Int) {
            isSeen[node] = true
            open.append(
                (
                    node,
                    nodes[node].inputs.enumerated().sorted {
                        (depth[$0.element], $0.offset) > (depth[$1.element], $1.offset)
                    }.map(\.element)
                ))
        }
        visit(output)
        while let (node, inputs) = open.last {
            guard let input = inputs.last else {
                order.append(node)
                open.removeLast()
                continue
            }
            open[open.count - 1].inputs.removeLast()
            if !isSeen[input] { visit(input) }
        }
        return order
    }

    /// A topological order in which nodes follow each other like those of the same names in an order of another graph.
    func order(like order: [Int], of other: Graph) -> [Int] {
        let places = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($0.element.name, $0.offset) })
        var result: [Int] = []
        var isPlaced = [Bool](repeating: false, count: nodes.count)
        for node in order {
            guard let place = places[other.nodes[node].name] else { continue }
            // Nodes that only this graph has come in between.
            for added in nodes[place].inputs + [place] where !isPlaced[added] {
                isPlaced[added] = true
                result.append(added)
            }
        }
        return result
    }

    /// The batch norm that is a layer's only reader, or nil.
    func batchNorm(after layer: Int) -> Int? {
        guard readers[layer].count == 1, case .batchNorm = nodes[readers[layer][0]].operation else { return nil }
        return readers[layer][0]
    }
}
