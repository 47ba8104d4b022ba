import Shared

/// A batch of masks as a tree over the cuts of a network (``Stages/cuts``): masks that agree on the layers decided up
/// to a cut share the node there, so what they share is computed once.
final class PrefixTree {
    /// One prefix.
    final class Node {
        /// Cuts that are decided: 0 at the root.
        let depth: Int
        /// The masks under it; they agree in the layers of all decided cuts.
        let masks: [Int]
        /// The prefixes that are one cut longer; empty at a leaf.
        fileprivate(set) var children: [Node] = []
        /// The norms of this node itself, by their stage.
        var norms: [Int: Norm] = [:]

        init(depth: Int, masks: [Int]) {
            self.depth = depth
            self.masks = masks
        }
    }

    /// The empty prefix.
    let root: Node
    /// The layers of every cut.
    let cuts: [[Int]]
    /// For every mask of the batch and every layer of the filter space, the active filters, ascending.
    private let active: [[[Int]]]

    /// Builds the tree. O(masks × filters). There must be at least one mask.
    init(_ masks: [Mask], of space: FilterSpace, cuts: [[Int]]) {
        precondition(!masks.isEmpty, "a tree needs a mask")
        active = masks.map { mask in
            space.layers.map { layer in
                layer.filters.filter { !mask[$0] }.map { $0 - layer.filters.lowerBound }
            }
        }
        self.cuts = cuts
        root = Node(depth: 0, masks: Array(masks.indices))
        grow(root)
    }

    /// The active filters of a layer under the masks of a node, which must have decided them.
    func filters(_ layer: Int, at node: Node) -> [Int] { active[node.masks[0]][layer] }

    /// The filters of a layer that some mask under a node has active.
    func union(_ layer: Int, under node: Node) -> [Int] {
        let first = active[node.masks[0]][layer]
        if node.masks.allSatisfy({ active[$0][layer] == first }) { return first }
        return node.masks.reduce(into: Set<Int>()) { $0.formUnion(active[$1][layer]) }.sorted()
    }

    /// The prefixes that all masks share, by the number of their decided cuts: the root first.
    var trunk: [Node] {
        var nodes = [root]
        while let last = nodes.last, last.children.count == 1 { nodes += last.children }
        return nodes
    }

    /// The active filters of every layer of each cut decided at a node.
    func decided(at node: Node) -> [[[Int]]] {
        cuts.prefix(node.depth).map { layers in layers.map { active[node.masks[0]][$0] } }
    }

    private func grow(_ node: Node) {
        guard node.depth < cuts.count else { return }
        var groups: [[[Int]]: Int] = [:]
        var members: [[Int]] = []
        for mask in node.masks {
            let key = cuts[node.depth].map { active[mask][$0] }
            if let group = groups[key] {
                members[group].append(mask)
            } else {
                groups[key] = members.count
                members.append([mask])
            }
        }
        for group in members {
            let child = Node(depth: node.depth + 1, masks: group)
            node.children.append(child)
            grow(child)
        }
    }
}
