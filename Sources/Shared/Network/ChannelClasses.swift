/// Which filters the channels of a network come from, and which filters can only be removed together.
///
/// Channels are followed from the filter that makes them through channel-wise operations. If two meet in a sum, neither
/// can be removed without the other: their filters join one class. A grouped convolution joins the channels at the same
/// place of every group, since its remaining groups must have one size. Found from the graph alone, by union-find;
/// O(channels · α).
public struct ChannelClasses: Sendable {
    /// The convolutions and linear layers whose filters can be disabled, by their places in ``Graph/nodes``.
    let layers: [Int]
    /// The classes of filters, each named by its first one; a class's filters ascend. Every filter of the
    /// ``FilterSpace`` is in exactly one.
    public let classes: [[Int]]
    /// Whether a class can be removed: not if some of its channels also come from the image.
    public let isRemovable: [Bool]
    /// For every node, the class of each of its channels, or nil if no filter makes it.
    public let classOfChannel: [[Int?]]
    private let coupled: [Bool]

    /// Whether some class of a layer's filters has other filters, or cannot be removed.
    func isCoupled(layer: Int) -> Bool { coupled[layer] }

    /// For every class, the nodes that have channels of it, ascending, and how many.
    public var channelsByNode: [[(node: Int, count: Int)]] {
        var result = [[(node: Int, count: Int)]](repeating: [], count: classes.count)
        for (node, channels) in classOfChannel.enumerated() {
            for case let index? in channels {
                if let last = result[index].indices.last, result[index][last].node == node {
                    result[index][last].count += 1
                } else {
                    result[index].append((node, 1))
                }
            }
        }
        return result
    }

    /// Finds the classes of a network.
    public init(_ graph: Graph) {
        let layers = Self.layers(of: graph)
        var firstFilter: [Int: Int] = [:]
        var filters = 0
        for node in layers {
            firstFilter[node] = filters
            filters += graph.nodes[node].shape.channels
        }
        // One more set represents the image, whose channels are always present.
        var sets = DisjointSets(count: filters + 1)
        let image = filters
        var channels: [[Int?]] = []
        for (index, node) in graph.nodes.enumerated() {
            channels.append(
                Self.channels(of: node, index, graph, channels, firstFilter[index], image: image, joining: &sets))
        }
        var indexOfRoot: [Int: Int] = [:]
        var classes: [[Int]] = []
        for filter in 0..<filters {
            let root = sets.root(filter)
            if let known = indexOfRoot[root] {
                classes[known].append(filter)
            } else {
                indexOfRoot[root] = classes.count
                classes.append([filter])
            }
        }
        let pinned = sets.root(image)
        isRemovable = classes.map { sets.root($0[0]) != pinned }
        classOfChannel = channels.map { $0.map { element in element.flatMap { indexOfRoot[sets.root($0)] } } }
        self.layers = layers
        self.classes = classes
        coupled = layers.map { node in
            (0..<graph.nodes[node].shape.channels).contains { channel in
                guard let first = firstFilter[node], let index = indexOfRoot[sets.root(first + channel)] else {
                    return false
                }
                return classes[index].count > 1 || sets.root(first + channel) == pinned
            }
        }
    }

    /// The origin of each channel of a node: an element of the sets, or nil.
    private static func channels(
        of node: Graph.Node, _ index: Int, _ graph: Graph, _ known: [[Int?]], _ firstFilter: Int?, image: Int,
        joining sets: inout DisjointSets
    ) -> [Int?] {
        let count = node.shape.channels
        func joined(_ a: Int?, _ b: Int?) -> Int? {
            if let a, let b { sets.join(a, b) }
            return a ?? b
        }
        switch node.operation {
        case .image: return Array(repeating: image, count: count)
        case .convolution(let convolution) where graph.mixesChannels(node):
            let filters = (0..<count).map { channel in firstFilter.map { $0 + channel } }
            if convolution.groups > 1 {
                joinGroups(known[node.inputs[0]], convolution.groups, &sets)
                joinGroups(filters, convolution.groups, &sets)
            }
            return filters
        case .convolution:
            let read = known[node.inputs[0]]
            return (0..<count).map { read[$0 * read.count / count] }
        case .linear: return (0..<count).map { channel in firstFilter.map { $0 + channel } }
        case .add:
            return (0..<count).map { channel in
                node.inputs.reduce(nil as Int?) { joined($0, known[$1].count == 1 ? known[$1][0] : known[$1][channel]) }
            }
        case .multiply:
            // The product follows the first factor with filters of its own; a gate has none.
            return (0..<count).map { channel in
                node.inputs.reduce(nil as Int?) { result, input in
                    guard known[input].count > 1 || count == 1 else { return result }
                    let factor = known[input][channel]
                    if factor == image { return result }
                    return joined(result, factor)
                } ?? (node.inputs.contains { known[$0].contains(image) } ? image : nil)
            }
        case .concatenate: return node.inputs.flatMap { known[$0] }
        case .flatten:
            let pixels = graph.inputShape(of: node).pixels
            return known[node.inputs[0]].flatMap { Array(repeating: $0, count: pixels) }
        case .select(let channels): return channels.map { $0.flatMap { known[node.inputs[0]][$0] } }
        default: return known[node.inputs[0]]
        }
    }

    private static func joinGroups(_ channels: [Int?], _ groups: Int, _ sets: inout DisjointSets) {
        let size = channels.count / groups
        for (place, channel) in channels.enumerated() where place >= size {
            if let channel, let first = channels[place % size] { sets.join(first, channel) }
        }
    }

    /// The mixing layers, except gates and those whose channels are the outputs.
    private static func layers(of graph: Graph) -> [Int] {
        // Whether every path from a node, through channel-wise operations, leads to a gate or to the outputs.
        var follows = [Bool](repeating: false, count: graph.nodes.count)
        for index in graph.nodes.indices.reversed() {
            follows[index] =
                index == graph.output
                || graph.readers[index].allSatisfy { reader in
                    let node = graph.nodes[reader]
                    if node.operation == .softmax { return true }
                    if graph.mixesChannels(node) { return false }
                    return (node.operation == .multiply && isGate(index, of: node, graph)) || follows[reader]
                }
        }
        return graph.nodes.indices.filter { index in
            let node = graph.nodes[index]
            guard graph.mixesChannels(node), node.operation != .softmax else { return false }
            return !follows[index]
        }
    }

    /// Whether a factor of a product only scales the other one: it has fewer pixels or channels, or else comes second.
    private static func isGate(_ input: Int, of product: Graph.Node, _ graph: Graph) -> Bool {
        let (first, second) = (product.inputs[0], product.inputs[1])
        if first == second { return false }
        let (a, b) = (graph.nodes[first].shape.count, graph.nodes[second].shape.count)
        return input == (a < b ? first : second)
    }
}

/// Disjoint sets, with path halving.
private struct DisjointSets {
    private var parent: [Int]

    init(count: Int) { parent = Array(0..<count) }

    /// The representative of the element's set.
    mutating func root(_ element: Int) -> Int {
        var element = element
        while parent[element] != element {
            parent[element] = parent[parent[element]]
            element = parent[element]
        }
        return element
    }

    mutating func join(_ a: Int, _ b: Int) { parent[root(b)] = root(a) }
}
