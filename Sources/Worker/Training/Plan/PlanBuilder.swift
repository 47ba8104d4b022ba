import CKernels
import Shared

/// Makes a plan's steps and values from a graph.
///
/// A batch norm is computed together with the sum and the ReLU that follow it, which saves their passes over memory.
struct PlanBuilder {
    private(set) var steps: [any PlanStep] = []
    private let layout: PlanLayout
    private var values: [PlanValue?]
    /// For every node, whether each of its channels is present; see ``selectPresent(of:_:)``.
    private let isPresent: [[Bool]]

    /// Visits the layout's graph. Throws a `.badInput` ``Failure`` if a layer has too many channels.
    init(_ layout: PlanLayout) throws {
        self.layout = layout
        let graph = layout.graph
        values = Array(repeating: nil, count: graph.nodes.count)
        isImageFlattened = graph.readers[0].allSatisfy { graph.nodes[$0].operation == .flatten }
        (readers, sources) = Self.readers(of: graph, isImageFlattened: isImageFlattened)
        isPresent = ChannelPresence(graph, FilterSpace(graph)).isPresent
        let groups = Self.groups(graph, isPresent)
        let inner = Set(groups.values.flatMap { [$0.norm, $0.sum?.node].compactMap { $0 } })
        values[0] = makeValue(0, dependsOnParameters: false)
        for index in graph.nodes.indices.dropFirst() {
            if let group = groups[index] {
                try add(group, last: index)
            } else if !inner.contains(index) {
                try add(index)
            }
        }
    }

    /// What a node makes.
    func value(of node: Int) -> PlanValue {
        guard let value = values[sources[node]] else { preconditionFailure("nodes are visited in their order") }
        return value
    }

    // MARK: Values

    /// Whether nothing reads the image but its flattening, which is the image then.
    let isImageFlattened: Bool
    /// How often each node's value is read, and the node that provides it: a flattened vector's value is the vector's.
    private let readers: [Int]
    private let sources: [Int]

    private static func readers(of graph: Graph, isImageFlattened: Bool) -> (counts: [Int], sources: [Int]) {
        var sources = Array(graph.nodes.indices)
        var counts = [Int](repeating: 0, count: graph.nodes.count)
        for (index, node) in graph.nodes.enumerated().dropFirst() {
            let isSame = graph.inputShape(of: node).isVector || (isImageFlattened && node.inputs == [0])
            if node.operation == .flatten, isSame {
                sources[index] = sources[node.inputs[0]]
            } else if node.operation != .softmax {
                for input in node.inputs { counts[sources[input]] += 1 }
            }
        }
        return (counts, sources)
    }

    private func makeValue(_ node: Int, dependsOnParameters: Bool) -> PlanValue {
        var shape = layout.graph.nodes[node].shape
        if node == 0, isImageFlattened { shape = Shape(vector: shape.count) }
        return PlanValue(
            shape, layout.buffer(layout.images * shape.count), readers: readers[node],
            dependsOnParameters: dependsOnParameters)
    }

    private func edge(_ node: Int, _ position: Int = 0) -> PlanEdge {
        PlanEdge(value: value(of: layout.graph.nodes[node].inputs[position]), reader: (node, position))
    }

    // MARK: Steps

    /// Nodes of a batch norm that are computed together, by the last of them.
    private struct Group {
        var norm: Int
        var sum: (node: Int, position: Int)?
        var relu: Int?
    }

    private static func groups(_ graph: Graph, _ isPresent: [[Bool]]) -> [Int: Group] {
        var groups: [Int: Group] = [:]
        var sums: Set<Int> = []
        for (index, node) in graph.nodes.enumerated() {
            switch node.operation {
            case .batchNorm, .affine: break
            default: continue
            }
            var group = Group(norm: index)
            var last = index
            func onlyReader() -> Int? { graph.readers[last].count == 1 ? graph.readers[last][0] : nil }
            guard !isPresent[index].contains(false) else {
                groups[index] = group
                continue
            }
            if let next = onlyReader(), graph.nodes[next].operation == .add, !sums.contains(next) {
                let inputs = graph.nodes[next].inputs
                let isPlain = inputs.allSatisfy { graph.nodes[$0].shape == node.shape }
                if inputs.count == 2, isPlain, inputs[0] != inputs[1], let position = inputs.firstIndex(of: index) {
                    group.sum = (next, position)
                    sums.insert(next)
                    last = next
                }
            }
            if let next = onlyReader(), graph.nodes[next].operation == .activation(.relu) {
                group.relu = next
                last = next
            }
            groups[last] = group
        }
        return groups
    }

    private mutating func add(_ group: Group, last: Int) throws {
        let graph = layout.graph
        let node = graph.nodes[group.norm]
        let limit = Int(WINNOW_TRAINING_CHANNELS_MAX)
        guard node.shape.channels <= limit else {
            throw Failure(
                .badInput,
                "\(node.name) has \(node.shape.channels) channels; training supports up to \(limit) in a batch norm")
        }
        var nodes = NormalisationStep.Nodes(norm: group.norm)
        if case .batchNorm(let epsilon) = node.operation { nodes.epsilon = epsilon }
        if let sum = group.sum { nodes.sum = (sum.node, sum.position, edge(sum.node, 1 - sum.position)) }
        nodes.hasReLU = group.relu != nil
        let y = makeValue(last, dependsOnParameters: true)
        steps.append(NormalisationStep(nodes, edge(group.norm), y, layout))
        values[last] = selectPresent(of: last, y)
    }

    /// A channel that a `select` leaves empty is absent and stays so, whatever an operation makes of zero: its zeros
    /// are written again after a batch norm, for instance.
    private mutating func selectPresent(of node: Int, _ y: PlanValue) -> PlanValue {
        guard !layout.graph.nodes[node].operation.keepsZero, isPresent[node].contains(false) else { return y }
        let selected = makeValue(node, dependsOnParameters: y.dependsOnParameters)
        let channels = isPresent[node].enumerated().map { $1 ? $0 : nil }
        steps.append(RearrangementStep(select: channels, PlanEdge(value: y), selected, layout))
        return selected
    }

    private mutating func add(_ index: Int) throws {
        let graph = layout.graph
        let node = graph.nodes[index]
        guard sources[index] == index, node.operation != .softmax else { return }
        let edges = node.inputs.indices.map { edge(index, $0) }
        let y = makeValue(
            index,
            dependsOnParameters: !graph.parameters(of: index).isEmpty
                || edges.contains { $0.value.dependsOnParameters })
        let step: any PlanStep
        switch node.operation {
        case .convolution(let convolution): step = ConvolutionStep(convolution, index, edges[0], y, layout)
        case .linear: step = LinearStep(index, edges[0], y, layout)
        case .activation(let activation): step = ActivationStep(activation, index, edges[0], y, layout)
        case .add: step = SumStep(edges, y, layout)
        case .multiply: step = ProductStep(edges, y, layout)
        case .concatenate: step = ConcatenationStep(edges, y, layout)
        case .pool(let pool): step = PoolStep(pool, edges[0], y, layout)
        case .adaptiveAverage(let size): step = PoolStep(adaptive: size, edges[0], y, layout)
        case .flatten: step = RearrangementStep(flatten: edges[0], y, layout)
        case .select(let channels): step = RearrangementStep(select: channels, edges[0], y, layout)
        case .crop(let crop): step = RearrangementStep(crop: crop, edges[0], y, layout)
        case .pad(let insets): step = RearrangementStep(pad: insets, edges[0], y, layout)
        case .image, .softmax, .batchNorm, .affine:
            preconditionFailure("\(node.name) is no step of its own")
        }
        steps.append(step)
        values[index] = selectPresent(of: index, y)
    }
}

extension Graph.Operation {
    /// Whether a channel of zeros stays one.
    fileprivate var keepsZero: Bool {
        switch self {
        case .batchNorm, .affine: false
        case .activation(let activation): activation.keepsZero
        case .convolution(let convolution): !convolution.hasBias
        default: true
        }
    }
}
