import Shared

/// One thing that the engine computes: an operation of the graph, with the batch norm, sum and activation after it that
/// are fused into it.
struct Stage {
    /// The computation before the norm, the sum and the activation.
    enum Kind {
        /// A convolution or, as one of a single pixel, a linear layer: mixes the channels that it reads.
        case layer(Graph.Operation.Convolution)
        /// A depthwise convolution.
        case depthwise(Graph.Operation.Convolution)
        /// The channels themselves.
        case elementwise
        /// Each channel times the same channel of a second input.
        case multiply
        case pool(Graph.Operation.Pool)
        case adaptiveAverage
        /// Every `step`-th pixel from a place that may be outside, where zeros are.
        case copy(top: Int, left: Int, step: Graph.Operation.Extent)
    }

    /// The addend, channel by channel.
    struct Residual {
        /// The channels of the addend; nil adds nothing.
        let sources: [Source?]
        /// Rows and columns of them.
        let shape: Shape
        /// The addend's pixels per output pixel; 0 adds its only pixel to all.
        let stride: Int
    }

    /// A channel of a stage's output, or one pixel of it.
    struct Source: Hashable {
        /// Its source: 0 for the image, `n` for stage `n - 1`.
        let value: Int
        let channel: Int
        /// The place of a flattened channel's pixel in it.
        let pixel: Int
    }

    let kind: Kind
    /// The operation's node, which names its parameters.
    let node: Int
    /// Its inputs, channel by channel; a second list for a product.
    let inputs: [[Source?]]
    /// Its input shapes.
    let inputShapes: [Shape]
    /// Its output shape.
    let shape: Shape
    /// The fused batch norm or affine node.
    var norm: Int?
    var residual: Residual?
    var activation: (node: Int, function: Graph.Operation.Activation)?
    /// The last fused node: the stage's output is this node's value.
    var output: Int
    /// The layer of the filter space whose filters it computes.
    var layer: Int?
    /// The layers of the filter space that it needs decided and that are not yet.
    var decides: [Int] = []
}

extension Stage {
    /// Whether its rows can be computed one by one at no loss: Winograd's algorithm, available to 3×3 convolutions of
    /// every pixel, makes four at a time.
    var makesSingleRows: Bool {
        if case .layer(let convolution) = kind { return convolution.kernel != .init(3) || convolution.stride != .one }
        return window != nil
    }

    /// Which rows of its first input its rows need; nil if they need all.
    var window: Chain.Window? {
        func window(reach: Int = 1, stride: Int = 1, padding: Int = 0) -> Chain.Window {
            Chain.Window(
                reach: reach, stride: stride, padding: padding, input: inputShapes[0].height, output: shape.height)
        }
        switch kind {
        case .layer(let convolution), .depthwise(let convolution):
            return window(
                reach: (convolution.kernel.height - 1) * convolution.dilation.height + 1,
                stride: convolution.stride.height, padding: convolution.padding.top)
        case .pool(let pool):
            return window(
                reach: (pool.kernel.height - 1) * pool.dilation.height + 1, stride: pool.stride.height,
                padding: pool.padding.top)
        case .elementwise, .multiply: return inputShapes[0].height == shape.height ? window() : nil
        case .adaptiveAverage, .copy: return nil
        }
    }
}

/// A network as a list of stages in computation order.
///
/// Operations that only rename channels (flatten, select, concatenate) compute nothing; their readers read the named
/// channels directly. A mask decides a layer's filters as late as possible: channel-wise operations are computed for
/// all masks at once, on every channel that any of them has, and only stages that mix or sum channels distinguish
/// masks.
struct Stages {
    let graph: Graph
    let space: FilterSpace
    /// Whether images are flattened first and everything after is a vector, so several images of a lane can be side by
    /// side.
    let isVectorOnly: Bool
    private(set) var list: [Stage] = []
    /// The logits' channels.
    private(set) var logits: [Stage.Source] = []
    /// For every value (0 is the image), the last stage that reads it; the number of stages for one that makes logits.
    private(set) var lastReaders: [Int] = []
    /// The stages that decide layers, ascending.
    private(set) var cuts: [Int] = []
    /// For every stage, whether only the next one reads its output, some rows for some rows of its own.
    private(set) var handsOn: [Bool] = []

    private let isFused: Bool
    private var valueOfNode: [Int: Int] = [0: 0]
    /// Nodes that are fused into a stage, or that only a stage's residual passes through.
    private var isDone: Set<Int> = []

    /// Cuts a network into stages. With a topological order of its nodes, every node that computes something is a
    /// separate stage, in that order, so that the values of any node can be read.
    init(_ graph: Graph, unfusedIn order: [Int]? = nil) {
        self.graph = graph
        isFused = order == nil
        space = FilterSpace(graph)
        isVectorOnly =
            graph.readers[0].allSatisfy { graph.nodes[$0].operation == .flatten }
            && graph.nodes.dropFirst().allSatisfy(\.shape.isVector)
        let layers = Dictionary(uniqueKeysWithValues: space.layers.enumerated().map { ($0.element.node, $0.offset) })
        for index in order ?? Array(graph.nodes.indices) where index > 0 && !isDone.contains(index) {
            if let stage = stage(at: index, layers) { append(stage) }
        }
        let outputs = sources(of: graph.logits)
        logits = outputs.compactMap { $0 }
        if logits.count < outputs.count || !Self.areRegular(logits) {
            // Gathers logits that are apart.
            append(plain(.elementwise, at: graph.logits, reading: [graph.logits]))
            logits = (0..<graph.classes).map { Stage.Source(value: list.count, channel: $0, pixel: 0) }
        }
        findLastReaders()
        findCuts()
        handsOn = list.indices.map(isHandedOn)
    }

    /// The shape of a value: the image's for 0.
    func shape(ofValue value: Int) -> Shape {
        guard value == 0 else { return list[value - 1].shape }
        return isVectorOnly ? Shape(vector: graph.imageShape.count) : graph.imageShape
    }

    /// The layers of every cut.
    var layersByCut: [[Int]] { cuts.map { list[$0].decides } }

    private static func areRegular(_ logits: [Stage.Source]) -> Bool {
        logits.enumerated().allSatisfy { index, source in
            source.value == logits[0].value && source.pixel == logits[0].pixel && source.channel == index
        }
    }

    private mutating func append(_ stage: Stage) {
        list.append(stage)
        valueOfNode[stage.output] = list.count
    }

    // MARK: Stages

    private mutating func stage(at index: Int, _ layers: [Int: Int]) -> Stage? {
        let node = graph.nodes[index]
        var stage: Stage
        switch node.operation {
        case .image, .flatten, .select, .concatenate, .softmax: return nil
        case .convolution(let convolution):
            let kind: Stage.Kind = graph.mixesChannels(node) ? .layer(convolution) : .depthwise(convolution)
            stage = plain(kind, at: index, reading: node.inputs)
        case .linear(let linear):
            let kernel = Graph.Operation.Convolution(filters: linear.outputs, kernel: .one, hasBias: linear.hasBias)
            stage = plain(.layer(kernel), at: index, reading: node.inputs)
        case .batchNorm, .affine:
            stage = plain(.elementwise, at: index, reading: node.inputs)
            stage.norm = index
        case .activation(let function):
            stage = plain(.elementwise, at: index, reading: node.inputs)
            stage.activation = (index, function)
            return stage
        case .add:
            // The operand with all pixels and channels comes first.
            let first = node.inputs.firstIndex { graph.nodes[$0].shape == node.shape } ?? 0
            stage = plain(.elementwise, at: index, reading: [node.inputs[first]])
            guard let residual = residual(node.inputs[1 - first], of: node.shape) else {
                preconditionFailure("everything before a sum has been computed")
            }
            stage.residual = residual
            fuseActivation(into: &stage)
            return stage
        case .multiply:
            // The factor with all channels comes first.
            let first = node.inputs.firstIndex { graph.nodes[$0].shape.channels == node.shape.channels } ?? 0
            stage = plain(.multiply, at: index, reading: [node.inputs[first], node.inputs[1 - first]])
        case .pool(let pool): stage = plain(.pool(pool), at: index, reading: node.inputs)
        case .adaptiveAverage: stage = plain(.adaptiveAverage, at: index, reading: node.inputs)
        case .crop(let crop):
            stage = plain(.copy(top: crop.top, left: crop.left, step: crop.step), at: index, reading: node.inputs)
        case .pad(let insets):
            stage = plain(.copy(top: -insets.top, left: -insets.left, step: .one), at: index, reading: node.inputs)
        }
        if graph.isLayer(index) {
            stage.layer = layers[index]
            fuseNorm(into: &stage)
        }
        fuseSum(into: &stage)
        fuseActivation(into: &stage)
        return stage
    }

    private func plain(_ kind: Stage.Kind, at index: Int, reading inputs: [Int]) -> Stage {
        Stage(
            kind: kind, node: index, inputs: inputs.map(sources), inputShapes: inputs.map { graph.nodes[$0].shape },
            shape: graph.nodes[index].shape, output: index)
    }

    /// The only reader of a stage's value, if it has one and reads it once; nil if nothing is to be fused.
    private func onlyReader(of stage: Stage) -> Int? {
        let readers = graph.readers[stage.output]
        guard isFused, readers.count == 1, stage.output != graph.logits,
            graph.nodes[readers[0]].inputs.count(where: { $0 == stage.output }) == 1
        else { return nil }
        return readers[0]
    }

    private mutating func fuseNorm(into stage: inout Stage) {
        guard let reader = onlyReader(of: stage), case .batchNorm = graph.nodes[reader].operation else { return }
        stage.norm = reader
        stage.output = reader
        isDone.insert(reader)
    }

    private mutating func fuseSum(into stage: inout Stage) {
        guard let reader = onlyReader(of: stage), graph.nodes[reader].operation == .add,
            graph.nodes[reader].shape == stage.shape,
            let other = graph.nodes[reader].inputs.first(where: { $0 != stage.output }),
            let residual = residual(other, of: stage.shape)
        else { return }
        stage.residual = residual
        stage.output = reader
        isDone.insert(reader)
        // A crop that only feeds this sum needs no separate stage.
        var node = other
        while graph.readers[node].allSatisfy(isDone.contains), valueOfNode[node] == nil {
            isDone.insert(node)
            guard graph.nodes[node].inputs.count == 1 else { break }
            node = graph.nodes[node].inputs[0]
        }
    }

    private mutating func fuseActivation(into stage: inout Stage) {
        guard let reader = onlyReader(of: stage), case .activation(let function) = graph.nodes[reader].operation
        else { return }
        stage.activation = (reader, function)
        stage.output = reader
        isDone.insert(reader)
    }

    /// A node's value as addend for channels of a shape, or nil if it is not computed yet or does not fit.
    private func residual(_ node: Int, of shape: Shape) -> Stage.Residual? {
        guard let found = strided(node) else { return nil }
        let isPixel = graph.nodes[node].shape.isVector && !shape.isVector
        var sources = found.sources
        if sources.count == 1, shape.channels > 1 { sources = Array(repeating: sources[0], count: shape.channels) }
        return Stage.Residual(sources: sources, shape: found.shape, stride: isPixel ? 0 : found.stride)
    }

    /// The channels of a node, looking through crops that only stride.
    private func strided(_ node: Int) -> (sources: [Stage.Source?], shape: Shape, stride: Int)? {
        if valueOfNode[node] != nil { return (sources(of: node), graph.nodes[node].shape, 1) }
        let inputs = graph.nodes[node].inputs
        switch graph.nodes[node].operation {
        case .select(let channels):
            guard let input = strided(inputs[0]) else { return nil }
            return (channels.map { $0.flatMap { input.sources[$0] } }, input.shape, input.stride)
        case .crop(let crop):
            guard crop.top == 0, crop.left == 0, crop.step.height == crop.step.width, let input = strided(inputs[0]),
                input.stride == 1
            else { return nil }
            return (input.sources, input.shape, crop.step.height)
        case .flatten, .concatenate:
            guard inputs.allSatisfy({ strided($0)?.stride == 1 }) else { return nil }
            return (sources(of: node), graph.nodes[node].shape, 1)
        default: return nil
        }
    }

    /// The channels that a node names.
    func sources(of node: Int) -> [Stage.Source?] {
        if let value = valueOfNode[node] {
            return (0..<shape(ofValue: value).channels).map { Stage.Source(value: value, channel: $0, pixel: 0) }
        }
        let inputs = graph.nodes[node].inputs
        switch graph.nodes[node].operation {
        case .flatten:
            let input = sources(of: inputs[0])
            if isVectorOnly, inputs[0] == 0 { return input }
            let pixels = graph.nodes[inputs[0]].shape.pixels
            return input.flatMap { source in
                (0..<pixels).map { pixel in
                    source.map { Stage.Source(value: $0.value, channel: $0.channel, pixel: $0.pixel + pixel) }
                }
            }
        case .select(let channels):
            let input = sources(of: inputs[0])
            return channels.map { $0.flatMap { input[$0] } }
        case .concatenate: return inputs.flatMap(sources)
        default: preconditionFailure("a node is read before it is computed")
        }
    }

    // MARK: Order

    private mutating func findLastReaders() {
        lastReaders = Array(repeating: -1, count: list.count + 1)
        for (index, stage) in list.enumerated() {
            for source in (stage.inputs + [stage.residual?.sources ?? []]).joined() {
                if let source { lastReaders[source.value] = index }
            }
        }
        for source in logits { lastReaders[source.value] = list.count }
    }

    private func isHandedOn(_ index: Int) -> Bool {
        let value = index + 1
        guard isFused, !isVectorOnly, list[index].makesSingleRows, index + 1 < list.count,
            lastReaders[value] == index + 1, list[index + 1].makesSingleRows,
            list[index + 1].inputShapes[0] == list[index].shape,
            list[index + 1].inputs[0].allSatisfy({ $0.map { $0.value == value && $0.pixel == 0 } ?? true })
        else { return false }
        let others = list[index + 1].inputs.dropFirst().joined() + (list[index + 1].residual?.sources ?? [])
        return others.allSatisfy { $0?.value != value }
    }

    /// Finds where masks must be distinguished: a value carries the layers whose filters it still has for all masks.
    private mutating func findCuts() {
        var pending = [Set<Int>](repeating: [], count: list.count + 1)
        var decided: Set<Int> = []
        for index in list.indices {
            let stage = list[index]
            func layers(_ sources: [Stage.Source?]) -> Set<Int> {
                Set(sources.compactMap { $0?.value }).reduce(into: Set<Int>()) { $0.formUnion(pending[$1]) }
                    .subtracting(decided)
            }
            let read = stage.inputs.map(layers)
            let own = Set([stage.layer].compactMap { $0 })
            var needed: Set<Int> = []
            var carried = read.reduce(into: Set<Int>()) { $0.formUnion($1) }
            if case .layer = stage.kind {
                needed = carried
                carried = own
            } else if read.count > 1, read.allSatisfy({ !$0.isEmpty }) {
                (needed, carried) = (carried, [])
            }
            if let residual = stage.residual {
                needed.formUnion(carried)
                needed.formUnion(layers(residual.sources))
                carried = []
            }
            pending[index + 1] = carried
            decided.formUnion(needed)
            list[index].decides = needed.sorted()
            if !needed.isEmpty { cuts.append(index) }
        }
    }
}
