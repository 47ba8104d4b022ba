import CKernels
import Shared

/// A schedule in the kernels' form: descriptions at fixed addresses, which every thread uses with its own arena.
final class CPUProgram {
    /// One stage for one or more masks.
    struct Step {
        /// The stage's place in ``Stages/list``.
        let stage: Int
        /// The groups of a convolution, in order; empty for a channel-wise operation.
        let layers: [UnsafePointer<winnow_layer>]
        /// For every mask an operation on each channel; none for a convolution.
        let maps: [UnsafePointer<winnow_map>]
        /// The outputs of every mask, in parts, and the norm that it uses.
        let outputs: [(parts: [Output], norm: Norm?)]
        /// Whether to take statistics of its outputs.
        let isRaw: Bool
        /// How it is computed.
        let order: Order
    }

    enum Order {
        case atOnce
        /// Together with a later step.
        case deferred
        /// A few rows at a time, together with the steps before it, as the last of them.
        case inRows([Piece])
    }

    /// Some rows of a step of a chain.
    struct Piece {
        let layers: [UnsafePointer<winnow_layer>]
        let maps: [UnsafePointer<winnow_map>]
        let rows: Range<Int>
        /// Floats missing before the memory of its input and output, for rows that have no memory.
        let inputOffset: Int
        let outputOffset: Int
        /// Rows to move to the front of channels first.
        let kept: Kept?
    }

    /// Rows that move within channels' memory.
    struct Kept {
        /// Floats where the channels begin.
        let channels: [Int]
        /// Floats from there on.
        let from: Int
        let count: Int
    }

    /// The output of a part of a step; its channels count from `first`.
    struct Output {
        let description: UnsafePointer<winnow_output>
        let first: Int
    }

    /// The end of a path: where the logits begin, the floats from one class to the next, and the masks of this result.
    struct Leaf {
        let offset: Int
        let stride: Int
        let masks: [Int]
    }

    enum Item {
        case step(Step)
        case leaf(Leaf)
    }

    let schedule: Schedule
    private(set) var items: [Item] = []
    /// Floats of scratch space per thread.
    private(set) var scratchFloats = 0
    /// Floats of an arena.
    var arenaFloats: Int { schedule.arenaLines * lanes }

    private let network: CompiledNetwork
    private let lanes: Int
    private let storage: Storage

    /// Describes a schedule of the compiled stages. Creates the norms of the tree's nodes in `storage` if they do not
    /// exist yet.
    init(_ schedule: Schedule, _ network: CompiledNetwork, lanes: Int, storage: Storage) {
        self.schedule = schedule
        self.network = network
        self.lanes = lanes
        self.storage = storage
        var deferred: [(step: Schedule.Step, described: Step)] = []
        for item in schedule.items {
            switch item {
            case .step(let step):
                guard network.compiled.contains(step.stage) else { continue }
                let described = describe(step, after: deferred)
                if case .deferred = step.link { deferred.append((step, described)) } else { deferred = [] }
                items.append(.step(described))
            case .leaf(let leaf):
                items.append(
                    .leaf(
                        Leaf(
                            offset: Int(leaf.logits[0]) * lanes,
                            stride: leaf.logits.count > 1 ? Int(leaf.logits[1] - leaf.logits[0]) * lanes : 0,
                            masks: leaf.masks)))
            }
        }
    }

    /// A step in the kernels' form; the last one of a chain includes the deferred ones.
    private func describe(_ step: Schedule.Step, after deferred: [(step: Schedule.Step, described: Step)]) -> Step {
        let (layers, maps, outputs) = parts(of: step)
        var order = Order.atOnce
        switch step.link {
        case .none: break
        case .deferred: order = .deferred
        case .last(let chain):
            let described = deferred.map { ($0.described.layers, $0.described.maps) } + [(layers, maps)]
            let widths = (deferred.map(\.step) + [step]).map { network.stages.list[$0.stage].shape.width * lanes }
            order = .inRows(
                chain.pieces.map { piece in
                    let width = widths[piece.stage]
                    let kept = piece.kept.map { kept in
                        Kept(
                            channels: deferred[piece.stage].step.branches[0].lines.filter { $0 >= 0 }
                                .map { Int($0) * lanes },
                            from: (kept.rows.lowerBound - kept.first) * width, count: kept.rows.count * width)
                    }
                    return Piece(
                        layers: described[piece.stage].0, maps: described[piece.stage].1, rows: piece.rows,
                        inputOffset: piece.stage > 0 ? piece.input * widths[piece.stage - 1] : 0,
                        outputOffset: piece.output * width, kept: kept)
                })
        }
        return Step(stage: step.stage, layers: layers, maps: maps, outputs: outputs, isRaw: step.isRaw, order: order)
    }

    private func parts(
        of step: Schedule.Step
    ) -> (
        layers: [UnsafePointer<winnow_layer>], maps: [UnsafePointer<winnow_map>],
        outputs: [(parts: [Output], norm: Norm?)]
    ) {
        let norms = step.branches.map { norm(step.stage, at: $0.node) }
        let parts = network[step.stage].parts
        guard parts.isEmpty else {
            let described = parts.map { describe(step, $0, norms) }
            let outputs = step.branches.indices.map { branch in
                (parts: described.map { $0.outputs[branch] }, norm: norms[branch])
            }
            return (described.map(\.layer), [], outputs)
        }
        let maps = zip(step.branches, norms).map { describe(step, $0, $1) }
        let outputs = maps.enumerated().map { index, map in
            (parts: [Output(description: output(of: map), first: 0)], norm: norms[index])
        }
        return ([], maps, outputs)
    }

    private func output(of map: UnsafePointer<winnow_map>) -> UnsafePointer<winnow_output> {
        UnsafePointer(storage.copy([map.pointee.output_channels]))
    }

    /// A stage's norm: the network's, or the node's own, which is created on first use.
    private func norm(_ stage: Int, at node: PrefixTree.Node) -> Norm? {
        guard schedule.options.ownNorms.contains(stage) else { return network[stage].norm }
        if let own = node.norms[stage] { return own }
        let channels = network.stages.list[stage].shape.channels
        let made = Norm(
            scale: storage.make(channels, of: Float.self), shift: storage.make(channels, of: Float.self))
        made.scale.initialize(repeating: 0, count: channels)
        made.shift.initialize(repeating: 0, count: channels)
        node.norms[stage] = made
        return made
    }

    // MARK: Convolutions

    private func describe(
        _ step: Schedule.Step, _ part: CompiledNetwork.Part, _ norms: [Norm?]
    ) -> (layer: UnsafePointer<winnow_layer>, outputs: [Output]) {
        let stage = network.stages.list[step.stage]
        guard case .layer(let convolution) = stage.kind else { preconditionFailure("only convolutions have parts") }
        let read =
            step.branches.count == 1
            ? step.branches[0].channels : Set(step.branches.flatMap(\.channels)).sorted()
        let inputs = read.filter(part.channels.contains)
        var rows = [Int32](repeating: -1, count: part.channels.count)
        for (row, channel) in inputs.enumerated() { rows[channel - part.channels.lowerBound] = Int32(row) }
        let branches = zip(step.branches, norms).map { branch, norm in
            let channels = branch.channels.filter(part.channels.contains).map { $0 - part.channels.lowerBound }
            return winnow_branch(
                input_rows: storage.copy(channels.map { rows[$0] }), channels: storage.copy(channels.map(Int32.init)),
                channel_count: Int32(channels.count),
                output: output(stage, step, branch, norm, filters: part.filters))
        }
        let described = storage.copy(branches)
        let target = storage.make(1, of: winnow_layer.self)
        target.initialize(
            to: winnow_layer(
                kind: network[step.stage].kind, raw: step.isRaw ? 1 : 0,
                input: extent(stage.inputShapes[0]), output: extent(stage.shape),
                kernel: extent(convolution.kernel), stride: extent(convolution.stride),
                dilation: extent(convolution.dilation), pad_top: Int32(convolution.padding.top),
                pad_left: Int32(convolution.padding.left), channels: Int32(part.channels.count),
                filters: Int32(part.filters.count), input_count: Int32(inputs.count),
                input_lines: storage.copy(inputs.map { step.input[$0] }), weights: part.weights,
                branch_count: Int32(branches.count), branches: described))
        scratchFloats = max(scratchFloats, winnow_scratch_floats(target, Int32(lanes)))
        let outputs = branches.indices.map { index in
            Output(
                description: UnsafePointer(storage.copy([described[index].output])), first: part.filters.lowerBound)
        }
        return (UnsafePointer(target), outputs)
    }

    // MARK: Operations on each channel

    private func describe(
        _ step: Schedule.Step, _ branch: Schedule.Branch, _ norm: Norm?
    ) -> UnsafePointer<winnow_map> {
        let stage = network.stages.list[step.stage]
        let layer = network[step.stage]
        let multiple = stage.shape.channels / step.input.count
        var map = winnow_map()
        map.kind = layer.kind
        map.raw = step.isRaw ? 1 : 0
        map.input = extent(stage.inputShapes[0])
        map.output = extent(stage.shape)
        map.other = stage.inputShapes.count > 1 ? extent(stage.inputShapes[1]) : winnow_extent(height: 1, width: 1)
        map.kernel = winnow_extent(height: 1, width: 1)
        map.stride = map.kernel
        map.dilation = map.kernel
        switch stage.kind {
        case .layer, .elementwise, .multiply, .adaptiveAverage: break
        case .depthwise(let convolution):
            map.kernel = extent(convolution.kernel)
            map.stride = extent(convolution.stride)
            map.dilation = extent(convolution.dilation)
            map.pad_top = Int32(convolution.padding.top)
            map.pad_left = Int32(convolution.padding.left)
        case .pool(let pool):
            map.kernel = extent(pool.kernel)
            map.stride = extent(pool.stride)
            map.dilation = extent(pool.dilation)
            map.pad_top = Int32(pool.padding.top)
            map.pad_left = Int32(pool.padding.left)
            map.pad_bottom = Int32(pool.padding.bottom)
            map.pad_right = Int32(pool.padding.right)
            map.counts_padding = pool.countsPadding ? 1 : 0
        case .copy(let top, let left, let step):
            map.stride = extent(step)
            map.pad_top = Int32(-top)
            map.pad_left = Int32(-left)
        }
        map.input_lines = UnsafePointer(storage.copy(branch.computed.map { step.input[$0 / multiple] }))
        if !step.other.isEmpty {
            map.other_lines = UnsafePointer(
                storage.copy(branch.computed.map { step.other[step.other.count == 1 ? 0 : $0] }))
        }
        map.weights = layer.depthwise
        map.output_channels = output(stage, step, branch, norm, filters: 0..<stage.shape.channels)
        return UnsafePointer(storage.copy([map]))
    }

    // MARK: What both have

    /// A branch's output for a range of channels; their numbers count from its start.
    private func output(
        _ stage: Stage, _ step: Schedule.Step, _ branch: Schedule.Branch, _ norm: Norm?, filters: Range<Int>
    ) -> winnow_output {
        let first = filters.lowerBound
        let computed = branch.computed.filter(filters.contains)
        let passed = branch.passed.filter(filters.contains)
        var output = winnow_output()
        output.count = Int32(computed.count)
        output.channels = UnsafePointer(storage.copy(computed.map { Int32($0 - first) }))
        output.lines = UnsafePointer(storage.copy(computed.map { branch.lines[$0] }))
        if let norm {
            output.scale = UnsafePointer(norm.scale + first)
            output.shift = UnsafePointer(norm.shift + first)
        }
        if let residual = stage.residual {
            output.residual_lines = UnsafePointer(storage.copy(computed.map { branch.residual[$0] }))
            output.residual_width = schedule.stages.isVectorOnly ? Int32(schedule.groups) : Int32(residual.shape.width)
            output.residual_stride = Int32(residual.stride)
            output.passed_count = Int32(passed.count)
            output.passed_channels = UnsafePointer(storage.copy(passed.map { Int32($0 - first) }))
            output.passed_lines = UnsafePointer(storage.copy(passed.map { branch.lines[$0] }))
            output.passed_residual_lines = UnsafePointer(storage.copy(passed.map { branch.residual[$0] }))
        }
        if let activation = stage.activation {
            output.activation = activation.function.forKernels
            output.activation.slopes = network[step.stage].slopes.map { $0 + first }
        }
        return output
    }

    private func extent(_ shape: Shape) -> winnow_extent {
        // A vector's groups of images are side by side like a row of pixels.
        shape.isVector
            ? winnow_extent(height: 1, width: Int32(schedule.groups))
            : winnow_extent(height: Int32(shape.height), width: Int32(shape.width))
    }

    private func extent(_ extent: Graph.Operation.Extent) -> winnow_extent {
        winnow_extent(height: Int32(extent.height), width: Int32(extent.width))
    }
}

extension CPUProgram.Step {
    /// Computes it, and the steps deferred to it.
    func compute(_ kernels: winnow_kernels, _ arena: Arena, _ scratch: Arena) {
        switch order {
        case .deferred: break
        case .atOnce:
            for layer in layers {
                kernels.layer(layer, winnow_everything(arena.base, layer.pointee.output), scratch.base)
            }
            for map in maps { kernels.map(map, winnow_everything(arena.base, map.pointee.output)) }
        case .inRows(let pieces): for piece in pieces { piece.compute(kernels, arena, scratch) }
        }
    }
}

extension CPUProgram.Piece {
    fileprivate func compute(_ kernels: winnow_kernels, _ arena: Arena, _ scratch: Arena) {
        if let kept {
            for channel in kept.channels {
                let start = arena.base + channel
                start.update(from: start + kept.from, count: kept.count)
            }
        }
        let place = winnow_place(
            input: arena.base - inputOffset, arena: arena.base, output: arena.base - outputOffset,
            from: Int32(rows.lowerBound), to: Int32(rows.upperBound))
        for layer in layers { kernels.layer(layer, place, scratch.base) }
        for map in maps { kernels.map(map, place) }
    }
}

extension Graph.Operation.Activation {
    /// As the kernels know it.
    fileprivate var forKernels: winnow_activation {
        func activation(_ kind: Int, _ a: Double = 0, _ b: Double = 0) -> winnow_activation {
            winnow_activation(kind: Int32(kind), a: Float(a), b: Float(b), slopes: nil)
        }
        switch self {
        case .relu: return activation(Int(WINNOW_RELU))
        case .leakyReLU(let slope): return activation(Int(WINNOW_LEAKY_RELU), slope)
        case .prelu: return activation(Int(WINNOW_PRELU))
        case .clip(let lowest, let highest): return activation(Int(WINNOW_CLIP), lowest, highest)
        case .sigmoid: return activation(Int(WINNOW_SIGMOID))
        case .hardSigmoid(let slope, let offset): return activation(Int(WINNOW_HARD_SIGMOID), slope, offset)
        case .hardSwish: return activation(Int(WINNOW_HARD_SWISH))
        case .silu: return activation(Int(WINNOW_SILU))
        case .tanh: return activation(Int(WINNOW_TANH))
        case .elu(let alpha): return activation(Int(WINNOW_ELU), alpha)
        case .gelu: return activation(Int(WINNOW_GELU))
        case .geluTanh: return activation(Int(WINNOW_GELU_TANH))
        }
    }
}
