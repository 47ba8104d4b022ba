/// Which channels of every node are present under a mask.
///
/// A disabled filter's channel is *absent*, as after physical removal: channel-wise operations propagate absence; a sum
/// takes what is present, and is absent if nothing is; a product with an absent factor is absent; concatenation keeps
/// each part's; and operations that mix channels treat an absent one as nothing.
public struct ChannelPresence: Sendable, Equatable {
    /// For every node, whether each of its channels is present.
    public let isPresent: [[Bool]]
    /// For every node, whether each channel is present and affects the outputs.
    public let isUsed: [[Bool]]

    /// Follows a mask of the network's ``FilterSpace`` through the graph; without one all filters are active.
    /// O(channels).
    public init(_ graph: Graph, _ space: FilterSpace, mask: Mask? = nil) {
        precondition(mask.map { $0.count == space.count } ?? true, "the mask must be of this network")
        var active: [Int: [Bool]] = [:]
        if let mask {
            for layer in space.layers { active[layer.node] = layer.filters.map { !mask[$0] } }
        }
        let isPresent = Self.presence(graph, active)
        self.isPresent = isPresent
        isUsed = Self.use(graph, isPresent)
    }

    private static func presence(_ graph: Graph, _ active: [Int: [Bool]]) -> [[Bool]] {
        var present: [[Bool]] = []
        for (index, node) in graph.nodes.enumerated() {
            let count = node.shape.channels
            func read(_ input: Int, _ channel: Int) -> Bool {
                present[input][present[input].count == 1 ? 0 : channel]
            }
            let channels: [Bool]
            switch node.operation {
            case .image, .softmax: channels = Array(repeating: true, count: count)
            case .convolution, .linear:
                if graph.mixesChannels(node) {
                    channels = active[index] ?? Array(repeating: true, count: count)
                } else {
                    let source = present[node.inputs[0]]
                    channels = (0..<count).map { source[$0 * source.count / count] }
                }
            case .add: channels = (0..<count).map { channel in node.inputs.contains { read($0, channel) } }
            case .multiply: channels = (0..<count).map { channel in node.inputs.allSatisfy { read($0, channel) } }
            case .concatenate: channels = node.inputs.flatMap { present[$0] }
            case .flatten:
                let pixels = graph.inputShape(of: node).pixels
                channels = present[node.inputs[0]].flatMap { Array(repeating: $0, count: pixels) }
            case .select(let sources): channels = sources.map { $0.map { present[node.inputs[0]][$0] } ?? false }
            default: channels = present[node.inputs[0]]
            }
            present.append(channels)
        }
        return present
    }

    private static func use(_ graph: Graph, _ present: [[Bool]]) -> [[Bool]] {
        var used = present.map { Array(repeating: false, count: $0.count) }
        used[graph.output] = present[graph.output]
        for index in graph.nodes.indices.reversed() {
            let node = graph.nodes[index]
            let mine = used[index]
            guard mine.contains(true) else { continue }
            func use(_ input: Int, _ channel: Int) {
                let place = present[input].count == 1 ? 0 : channel
                if present[input][place] { used[input][place] = true }
            }
            switch node.operation {
            case .image: break
            case .softmax, .linear: for channel in present[node.inputs[0]].indices { use(node.inputs[0], channel) }
            case .convolution(let convolution):
                let channels = present[node.inputs[0]].count
                let (read, filters) = (channels / convolution.groups, mine.count / convolution.groups)
                for group in 0..<convolution.groups where mine[group * filters..<(group + 1) * filters].contains(true) {
                    for channel in group * read..<(group + 1) * read { use(node.inputs[0], channel) }
                }
            case .concatenate:
                var start = 0
                for input in node.inputs {
                    for channel in present[input].indices where mine[start + channel] { used[input][channel] = true }
                    start += present[input].count
                }
            case .flatten:
                let pixels = graph.inputShape(of: node).pixels
                for channel in mine.indices where mine[channel] { use(node.inputs[0], channel / pixels) }
            case .select(let sources):
                for (channel, source) in sources.enumerated() where mine[channel] {
                    if let source { used[node.inputs[0]][source] = true }
                }
            default:
                for input in node.inputs { for channel in mine.indices where mine[channel] { use(input, channel) } }
            }
        }
        return used
    }
}
