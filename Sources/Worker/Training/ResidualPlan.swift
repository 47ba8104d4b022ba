import CKernels
import Shared

/// A residual network laid out for training or inference.
final class ResidualPlan: TrainingPlan {
    /// A residual block.
    private struct Block {
        let first: NormalisedConvolution
        let second: NormalisedConvolution
        let shortcut: Shortcut
        let input: ConvolutionOperand
    }

    /// What a block adds to its second convolution.
    private enum Shortcut {
        /// The block's input as it is.
        case identity
        /// Channels picked from every `stride`-th pixel: `size` is the input's, `map` as in `winnow_shortcut`.
        case mapped(size: Int, input: Int, stride: Int, map: [Int32])
    }

    let images: Int
    let channelsLast = true
    var input: AlignedBuffer { memory.input }
    var gradient: AlignedBuffer { memory.gradient }
    var logits: AlignedBuffer { linear.y }
    var logitsGradient: AlignedBuffer { linear.yGradient }

    private let memory: ResidualPlanMemory
    private let stem: NormalisedConvolution
    private let blocks: [Block]
    private let linear: DenseLayer
    private let pooled: AlignedBuffer
    private let pooledGradient: AlignedBuffer
    /// The residual stream behind the last block.
    private let stream: ConvolutionOperand
    private let streamPixels: Int
    private let streamChannels: Int

    /// Throws a `.badInput` ``Failure`` where a layer has no filters or more than the kernels take.
    init(
        _ architecture: CIFARResNet, _ graph: Graph, images: Int, purpose: PlanPurpose, precision: TrainingPrecision
    ) throws {
        try Self.check(graph)
        let memory = try ResidualPlanMemory(
            architecture, graph, images: images, purpose: purpose, precision: precision)
        var size = architecture.imageSize
        var channels = architecture.stem
        var stream: ConvolutionOperand
        (stem, stream) = try memory.place(
            0,
            Convolution.Shape(
                images: images, input: architecture.imageChannels, output: channels, size: size, stride: 1),
            input: memory.inputOperand, role: .stream)
        var blocks: [Block] = []
        for (index, block) in architecture.blocks.enumerated() {
            let input = stream
            let firstShape = Convolution.Shape(
                images: images, input: block.input, output: block.hidden, size: size, stride: block.stride)
            let secondShape = Convolution.Shape(
                images: images, input: block.hidden, output: block.output, size: firstShape.outputSize, stride: 1)
            let (first, hidden) = try memory.place(2 * index + 1, firstShape, input: input, role: .hidden)
            let (second, output) = try memory.place(2 * index + 2, secondShape, input: hidden, role: .stream)
            let shortcut =
                block.hasIdentityShortcut
                ? Shortcut.identity
                : .mapped(
                    size: size, input: block.input, stride: block.stride, map: block.shortcut.map { Int32($0 ?? -1) })
            blocks.append(Block(first: first, second: second, shortcut: shortcut, input: input))
            stream = output
            size = firstShape.outputSize
            channels = block.output
        }
        self.images = images
        self.memory = memory
        self.blocks = blocks
        self.stream = stream
        streamPixels = size * size
        streamChannels = channels
        pooled = AlignedBuffer(count: images * channels)
        pooledGradient = AlignedBuffer(count: images * channels)
        let entries = memory.layout.trained.suffix(2).map(\.range.lowerBound)
        linear = DenseLayer(
            images: images, input: channels, output: architecture.classes, relu: false, x: pooled.pointer,
            weights: memory.parameters.pointer + entries[0], bias: memory.parameters.pointer + entries[1])
    }

    func load(trained: [Float], statistics: [Float]) throws {
        OneDNN.useOneThread()
        memory.parameters.assign(trained)
        memory.statistics.assign(statistics)
        for unit in units { try unit.convolution.loadWeights() }
    }

    func forward(_ statistics: NormalisationStatistics) throws {
        OneDNN.useOneThread()
        if let rounded = memory.inputOperand.rounded {
            winnow_round_to_bfloat16(input.pointer, input.count, rounded)
        }
        try stem.forward(statistics)
        for block in blocks {
            try block.first.forward(statistics)
            switch block.shortcut {
            case .identity: try block.second.forward(statistics, shortcut: block.input.values)
            case .mapped(let size, let input, let stride, let map):
                let added = memory.shortcut.pointer
                winnow_shortcut(block.input.values, images, size, input, stride, map, map.count, added)
                try block.second.forward(statistics, shortcut: added)
            }
        }
        winnow_average_pool(stream.values, images, streamPixels, streamChannels, pooled.pointer)
        try linear.forward()
    }

    func backward(gates: ((Int, UnsafeMutableBufferPointer<Float>) -> Void)?) throws {
        OneDNN.useOneThread()
        func gatesOfLayer(_ layer: Int) -> ((UnsafeMutableBufferPointer<Float>) -> Void)? {
            gates.map { gates in { gates(layer, $0) } }
        }
        let entries = memory.layout.trained.suffix(2).map(\.range.lowerBound)
        try linear.backward(
            weightGradient: gradient.pointer + entries[0], biasGradient: gradient.pointer + entries[1],
            inputGradient: pooledGradient.pointer)
        let stream = memory.streamGradient.pointer
        let inner = memory.innerGradient.pointer
        winnow_average_pool_gradient(pooledGradient.pointer, images, streamPixels, streamChannels, stream)

        // What is behind a block is read by the next one's first convolution, whose gradient is in `inner`, and by
        // its shortcut, whose gradient is in `stream`: the sum of `first` and `second`.
        var (first, second): (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>?) = (stream, nil)
        for (index, block) in blocks.enumerated().reversed() {
            try block.second.backward(
                first: first, second: second, inner: stream, gates: gatesOfLayer(2 * index + 2))
            try block.first.backward(first: inner, second: nil, inner: inner, gates: gatesOfLayer(2 * index + 1))
            switch block.shortcut {
            case .identity: (first, second) = (stream, inner)
            case .mapped(let size, let input, let stride, let map):
                winnow_shortcut_gradient(
                    memory.streamGradient.pointer, images, size, input, stride, map, map.count, inner)
                (first, second) = (inner, nil)
            }
        }
        try stem.backward(first: first, second: second, inner: stream, gates: gatesOfLayer(0))
    }

    func batchStatistics() -> [Float] { units.flatMap { $0.normalisation.batchStatistics() } }

    private var units: [NormalisedConvolution] { [stem] + blocks.flatMap { [$0.first, $0.second] } }

    private static func check(_ graph: Graph) throws {
        let limit = WINNOW_TRAINING_CHANNELS_MAX
        for layer in FilterSpace(graph).layers where !(1...limit).contains(layer.filters.count) {
            throw Failure(
                .badInput, "\(layer.name) has \(layer.filters.count) filters; training takes 1 to \(limit) in a layer")
        }
    }
}

extension CIFARResNet.Block {
    /// Whether the shortcut adds the input as it is.
    var hasIdentityShortcut: Bool { stride == 1 && input == output && shortcut == (0..<input).map { $0 } }
}
