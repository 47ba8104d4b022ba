/// Where the absence of a filter's channel ends, for every filter that can be disabled.
///
/// A disabled filter's channel is absent, and channel-wise operations propagate absence (``ChannelPresence``). Where it
/// ends, at a layer that mixes channels or at a sum with a present channel, the reader gets nothing in place of a
/// value. So a gate on a filter, 1 while it is active and 0 when disabled, is a factor of its values at all these
/// places, and nowhere else: at 0 the network is exactly the masked one.
public struct GateEnds: Sendable {
    /// A channel of a value, and the filter whose absence ends where the value is read.
    public struct End: Sendable, Hashable {
        public let channel: Int
        public let filter: Int
    }

    /// By node and place among its inputs.
    private let ends: [[[End]]]

    /// The channels that a node reads as its `position`-th input while it, or the channel it makes from them, stays.
    public func ends(of node: Int, _ position: Int) -> [End] { ends[node][position] }

    /// Follows every filter of the network's ``FilterSpace``. O(channels · readers).
    public init(_ graph: Graph, _ space: FilterSpace) {
        var firstFilter: [Int: Int] = [:]
        for layer in space.layers { firstFilter[layer.node] = layer.filters.lowerBound }
        var carried: [[Absence]] = []
        var ends: [[[End]]] = []
        for (index, node) in graph.nodes.enumerated() {
            let inputs = node.inputs.map { carried[$0] }
            let made = Self.made(index, node, graph, inputs, firstFilter[index])
            carried.append(made)
            ends.append(
                inputs.indices.map { position in
                    // What each read channel keeps absent with it.
                    var outputs = [[Int]](repeating: [], count: inputs[position].count)
                    Self.forEachChannel(of: node, graph, position, inputs) { outputs[$0].append($1) }
                    return inputs[position].indices.flatMap { channel -> [End] in
                        let goesOn = outputs[channel]
                        return inputs[position][channel].filters.filter { filter in
                            goesOn.isEmpty || !goesOn.allSatisfy { made[$0].contains(filter) }
                        }.map { End(channel: channel, filter: $0) }
                    }
                })
        }
        self.ends = ends
    }

    /// What makes a channel absent.
    private enum Absence {
        /// Any one of these filters, if disabled.
        case with([Int])
        /// Nothing: it always is.
        case always

        var filters: [Int] {
            switch self {
            case .with(let filters): filters
            case .always: []
            }
        }

        func contains(_ filter: Int) -> Bool {
            switch self {
            case .with(let filters): filters.contains(filter)
            case .always: true
            }
        }
    }

    private static func made(
        _ index: Int, _ node: Graph.Node, _ graph: Graph, _ inputs: [[Absence]], _ firstFilter: Int?
    ) -> [Absence] {
        let count = node.shape.channels
        func read(_ input: [Absence], _ channel: Int) -> Absence { input[input.count == 1 ? 0 : channel] }
        switch node.operation {
        case .image, .softmax: return Array(repeating: .with([]), count: count)
        case .convolution, .linear:
            guard !graph.mixesChannels(node) else {
                return (0..<count).map { channel in .with(firstFilter.map { [$0 + channel] } ?? []) }
            }
            return (0..<count).map { inputs[0][$0 * inputs[0].count / count] }
        case .add:
            return (0..<count).map { channel in
                inputs.reduce(Absence.always) { sum, input in
                    switch (sum, read(input, channel)) {
                    case (.always, let other), (let other, .always): other
                    case (.with(let a), .with(let b)): .with(a.filter(b.contains))
                    }
                }
            }
        case .multiply:
            return (0..<count).map { channel in
                inputs.reduce(Absence.with([])) { product, input in
                    switch (product, read(input, channel)) {
                    case (.always, _), (_, .always): .always
                    case (.with(let a), .with(let b)): .with(a + b.filter { !a.contains($0) })
                    }
                }
            }
        case .concatenate: return inputs.flatMap { $0 }
        case .flatten:
            let pixels = graph.inputShape(of: node).pixels
            return inputs[0].flatMap { Array(repeating: $0, count: pixels) }
        case .select(let channels): return channels.map { $0.map { inputs[0][$0] } ?? .always }
        default: return inputs[0]
        }
    }

    /// Calls `body` with every channel read and every channel made from it alone.
    private static func forEachChannel(
        of node: Graph.Node, _ graph: Graph, _ position: Int, _ inputs: [[Absence]], _ body: (Int, Int) -> Void
    ) {
        let count = node.shape.channels
        let read = inputs[position].count
        switch node.operation {
        case .softmax: break
        case .convolution, .linear:
            guard !graph.mixesChannels(node) else { break }
            for channel in 0..<count { body(channel * read / count, channel) }
        case .concatenate:
            let start = inputs[..<position].reduce(0) { $0 + $1.count }
            for channel in 0..<read { body(channel, start + channel) }
        case .flatten:
            let pixels = count / read
            for channel in 0..<count { body(channel / pixels, channel) }
        case .select(let channels):
            for (channel, source) in channels.enumerated() { if let source { body(source, channel) } }
        default:
            for channel in 0..<count { body(read == 1 ? 0 : channel, channel) }
        }
    }
}
