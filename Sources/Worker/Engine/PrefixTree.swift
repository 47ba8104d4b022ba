import Shared

/// A batch of masks as a tree over the stages of a network: masks that agree up to a stage share the node there, so
/// that what they share is computed once.
///
/// A stage is what is masked together: the stem, a residual block (both of its convolutions), or a hidden layer of a
/// fully connected network.
final class PrefixTree {
    /// One prefix.
    final class Node {
        /// Stages that are decided: 0 at the root.
        let depth: Int
        /// A mask under it; every mask under it agrees with it in the decided stages.
        let mask: Int
        /// The prefixes that are one stage longer; none at a leaf.
        fileprivate(set) var children: [Node] = []
        /// The batch's masks that end here; none but at a leaf.
        fileprivate(set) var masks: [Int] = []
        /// The batch norm of the convolution that this node's children share, where it is of this node's own.
        var sharedNorm: Norm?
        /// The batch norm of the convolution whose output this node is, where it is of this node's own.
        var ownNorm: Norm?

        init(depth: Int, mask: Int) {
            self.depth = depth
            self.mask = mask
        }
    }

    /// The empty prefix.
    let root: Node
    /// For every mask of the batch and every layer of the filter space the active filters, ascending.
    private let active: [[[Int]]]
    /// The layers of every stage.
    private let stages: [Range<Int>]

    /// Builds the tree. O(masks × filters). There must be at least one mask.
    init(_ masks: [Mask], of graph: Graph, _ architecture: Architecture) {
        precondition(!masks.isEmpty, "a tree needs a mask")
        let space = FilterSpace(graph)
        active = masks.map { mask in
            space.layers.map { layer in
                layer.filters.filter { !mask[$0] }.map { $0 - layer.filters.lowerBound }
            }
        }
        switch architecture {
        case .residual(let residual):
            stages = [0..<1] + residual.blocks.indices.map { 1 + 2 * $0..<3 + 2 * $0 }
        case .fullyConnected(let connected):
            stages = (0..<connected.layers.count - 1).map { $0..<$0 + 1 }
        }
        root = Node(depth: 0, mask: 0)
        grow(root, masks: Array(masks.indices))
    }

    /// The active filters of a layer of the filter space under the masks of a node, in which they must be decided.
    func filters(_ layer: Int, at node: Node) -> [Int] { active[node.mask][layer] }

    /// How many stages the network has.
    var stageCount: Int { stages.count }

    /// The prefixes that all masks have in common, by the number of their decided stages: the root first.
    var trunk: [Node] {
        var nodes = [root]
        while let last = nodes.last, last.children.count == 1 { nodes += last.children }
        return nodes
    }

    /// The active filters of every layer of each stage that is decided at a node.
    func stages(at node: Node) -> [[[Int]]] { stages.prefix(node.depth).map { Array(active[node.mask][$0]) } }

    /// The filters of a layer that some child of a node has active.
    func union(_ layer: Int, ofChildren node: Node) -> [Int] {
        if node.children.count == 1 { return active[node.children[0].mask][layer] }
        var result = Set<Int>()
        for child in node.children { result.formUnion(active[child.mask][layer]) }
        return result.sorted()
    }

    private func grow(_ node: Node, masks: [Int]) {
        guard node.depth < stages.count else {
            node.masks = masks
            return
        }
        var groups: [[[Int]]: Int] = [:]
        var members: [[Int]] = []
        for mask in masks {
            let key = Array(active[mask][stages[node.depth]])
            if let group = groups[key] {
                members[group].append(mask)
            } else {
                groups[key] = members.count
                members.append([mask])
            }
        }
        for group in members {
            let child = Node(depth: node.depth + 1, mask: group[0])
            node.children.append(child)
            grow(child, masks: group)
        }
    }
}
