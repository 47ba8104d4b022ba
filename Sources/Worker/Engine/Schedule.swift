import CKernels
import Shared

/// What is computed, in which order and where in an arena, for a block of images and a tree of masks.
///
/// The tree is walked depth first. A node's activations stay in the arena until its last child has been computed from
/// them; the children of a node are computed together, up to ``Options/branchesMax`` of them.
final class Schedule {
    /// What decides a schedule besides the network and the tree.
    struct Options {
        /// Images in a vector.
        var lanes: Int
        /// Children of a node that are computed together.
        var branchesMax: Int
        /// Whether it is the pass over the calibration images: convolutions are left raw, and outputs aren't evaluated.
        var isCalibration: Bool
        /// Whether batch norms are each node's own rather than the checkpoint's.
        var hasOwnNorms: Bool
        /// Activations that are there already, of a prefix that all masks have in common.
        var start: Start?
        /// The stages behind which activations will be kept; 0 for none. All masks must have them in common.
        var keptStages = 0
    }

    /// Where the activations of a prefix lie in memory of their own.
    struct Start {
        /// Its decided stages.
        let stages: Int
        let floats: Int
        /// Floats between channels.
        let plane: Int
        /// For every channel its place, or -1.
        let slots: [Int32]
    }

    /// A layer, computed for one or more masks.
    struct Step {
        /// The layer's index in the network.
        let layer: Int
        /// What the kernels need to know.
        let description: UnsafePointer<winnow_layer>
        /// The batch norm of every branch.
        let norms: [Norm]
    }

    /// The end of a path through the tree.
    struct Leaf {
        /// The global average before the last linear layer.
        struct Pool {
            let source: Int
            let plane: Int
            let size: Int
            let slots: UnsafePointer<Int32>
            let count: Int
            let target: Int
        }

        /// Nil in a fully connected network.
        let pool: Pool?
        let linear: UnsafePointer<winnow_layer>
        /// Where the outputs are.
        let outputs: Int
        /// Floats between classes.
        let plane: Int
        /// The batch's masks that this is the result of.
        let masks: [Int]
    }

    /// One thing to do for a block of images.
    enum Item {
        case step(Step)
        case leaf(Leaf)
    }

    private(set) var items: [Item] = []
    /// What ``Options/keptStages`` asked for: before which item the activations are there, and where.
    private(set) var kept: (item: Int, buffer: Buffer)?
    /// Where the images are put, or what ``Options/start`` describes: arena offset and floats between channels (between
    /// values, where fully connected).
    private(set) var input = (offset: 0, plane: 0)
    /// Floats of an arena.
    var arenaFloats: Int { plan.floats }
    /// Floats of scratch space.
    private(set) var scratchFloats = 0
    /// Groups of lanes in a block of images.
    let groups: Int

    let network: CompiledNetwork
    let tree: PrefixTree
    let options: Options
    private var plan = ArenaPlan()
    private let storage: Storage

    /// Groups of lanes that a fully connected network takes at once, so that a weight that was read is used often.
    static let linearGroups = 4

    /// Plans the evaluation of a tree. Batch norms of the tree's nodes are made in `storage` where there are none yet.
    init(_ network: CompiledNetwork, _ tree: PrefixTree, _ options: Options, storage: Storage) {
        self.network = network
        self.tree = tree
        self.options = options
        self.storage = storage
        switch network.graph {
        case .residual(let residual):
            groups = 1
            scheduleResidual(residual)
        case .fullyConnected(let connected):
            groups = Self.linearGroups
            scheduleFullyConnected(connected)
        }
    }

    /// Channels in an arena.
    struct Buffer {
        let range: Range<Int>
        /// Floats between channels.
        let plane: Int
        /// For every channel its place, or -1 for one that is known to be zero and is not stored.
        let slots: [Int32]

        /// Where it starts.
        var offset: Int { range.lowerBound }

        /// How the activations lie in memory of their own.
        func start(stages: Int) -> Start { Start(stages: stages, floats: range.count, plane: plane, slots: slots) }

        /// The channels that are stored.
        var present: [Int] { slots.indices.filter { slots[$0] >= 0 } }

        /// The same memory seen with fewer channels.
        func keeping(_ channels: [Int]) -> Buffer {
            var kept = [Int32](repeating: -1, count: slots.count)
            for channel in channels { kept[channel] = slots[channel] }
            return Buffer(range: range, plane: plane, slots: kept)
        }
    }

    /// Takes memory for some of a layer's `count` channels.
    func take(_ channels: [Int], of count: Int, plane: Int) -> Buffer {
        var slots = [Int32](repeating: -1, count: count)
        for (slot, channel) in channels.enumerated() { slots[channel] = Int32(slot) }
        return Buffer(range: plan.take(max(channels.count, 1) * plane), plane: plane, slots: slots)
    }

    /// Gives memory back.
    func release(_ buffer: Buffer) { plan.release(buffer.range) }

    /// Takes memory for the images.
    func takeInput(channels: Int, plane: Int) -> Buffer {
        let buffer = take(Array(0..<channels), of: channels, plane: plane)
        input = (buffer.offset, plane)
        return buffer
    }

    /// Takes memory for activations that are there already.
    func takeInput(_ start: Start) -> Buffer {
        let buffer = Buffer(range: plan.take(start.floats), plane: start.plane, slots: start.slots)
        input = (buffer.offset, start.plane)
        return buffer
    }

    /// Says that the activations behind a node are in a buffer now.
    func reached(_ node: PrefixTree.Node, _ buffer: Buffer) {
        if node.depth > 0, node.depth == options.keptStages { kept = (items.count, buffer) }
    }

    /// One mask's share of a layer.
    struct Branch {
        /// The input's channels that it reads.
        var channels: [Int]
        /// The filters that it computes.
        var filters: [Int]
        var output: Buffer
        var norm: Norm
        var residual: Residual?
        var isRectified = true
    }

    /// What a shortcut adds.
    struct Residual {
        var source: Buffer
        /// Its width, and its pixels for one of the output.
        var size: Int
        var stride: Int
        /// For every output channel the source's channel, or nil.
        var map: [Int?]

        /// The place of what is added to an output channel, or -1.
        func slot(_ channel: Int) -> Int32 { map[channel].map { source.slots[$0] } ?? -1 }
    }

    /// A layer's description for the kernels. All outputs must have the same plane.
    func describe(_ index: Int, input: Buffer, size: Int, branches: [Branch]) -> UnsafePointer<winnow_layer> {
        let layer = network.layers[index]
        var inputs: [Int]
        if branches.count == 1 {
            inputs = branches[0].channels
        } else {
            inputs = Set(branches.flatMap(\.channels)).sorted()
        }
        inputs = inputs.filter { input.slots[$0] >= 0 }
        var rows = [Int32](repeating: -1, count: layer.channels)
        for (row, channel) in inputs.enumerated() { rows[channel] = Int32(row) }
        let described = branches.map { describe($0, rows: rows) }
        let target = storage.make(1, of: winnow_layer.self)
        target.initialize(
            to: winnow_layer(
                kind: Int32(layer.kind), size: Int32(size), stride: Int32(layer.stride),
                raw: options.isCalibration ? 1 : 0, channels: Int32(layer.channels), filters: Int32(layer.filters),
                input_count: Int32(inputs.count), branch_count: Int32(branches.count),
                input_slots: storage.copy(inputs.map { input.slots[$0] }), weights: layer.weights,
                branches: storage.copy(described), input: input.offset, input_plane: input.plane,
                output_plane: branches[0].output.plane))
        scratchFloats = max(scratchFloats, winnow_scratch_floats(target, Int32(options.lanes)))
        return UnsafePointer(target)
    }

    private func describe(_ branch: Branch, rows: [Int32]) -> winnow_branch {
        let channels = branch.channels.filter { rows[$0] >= 0 }
        var passed: [Int] = []
        if let residual = branch.residual {
            let computed = Set(branch.filters)
            passed = branch.output.present.filter { !computed.contains($0) && residual.slot($0) >= 0 }
        }
        return winnow_branch(
            input_rows: storage.copy(channels.map { rows[$0] }), channels: storage.copy(channels.map(Int32.init)),
            channel_count: Int32(channels.count), filter_count: Int32(branch.filters.count),
            filters: storage.copy(branch.filters.map(Int32.init)),
            output_slots: storage.copy(branch.filters.map { branch.output.slots[$0] }),
            residual_slots: storage.copy(branch.filters.map { branch.residual?.slot($0) ?? -1 }),
            scale: UnsafePointer(branch.norm.scale), shift: UnsafePointer(branch.norm.shift),
            output: branch.output.offset, residual: branch.residual?.source.offset ?? 0,
            residual_plane: branch.residual?.source.plane ?? 0, residual_size: Int32(branch.residual?.size ?? 0),
            residual_stride: Int32(branch.residual?.stride ?? 0), passed_count: Int32(passed.count),
            relu: branch.isRectified ? 1 : 0,
            passed_outputs: storage.copy(passed.map { branch.output.slots[$0] }),
            passed_residuals: storage.copy(passed.map { branch.residual?.slot($0) ?? -1 }))
    }

    /// Appends a layer.
    func append(_ index: Int, input: Buffer, branches: [Branch]) {
        let size = network.layers[index].kind == Int(WINNOW_LINEAR) ? groups : network.layers[index].size
        let description = describe(index, input: input, size: size, branches: branches)
        items.append(.step(Step(layer: index, description: description, norms: branches.map(\.norm))))
    }

    /// Appends the end of a path.
    func append(_ leaf: Leaf) { items.append(.leaf(leaf)) }

    /// Copies values to where the kernels can read them.
    func keep(_ values: [Int32]) -> UnsafePointer<Int32> { UnsafePointer(storage.copy(values)) }

    /// A layer's batch norm: the checkpoint's, or the node's own, which is made on first use.
    func norm(_ layer: Int, _ own: inout Norm?) -> Norm {
        guard options.hasOwnNorms else { return network.layers[layer].norm }
        if let own { return own }
        let filters = network.layers[layer].filters
        let made = Norm(
            scale: storage.make(filters, of: Float.self), shift: storage.make(filters, of: Float.self))
        made.scale.initialize(repeating: 0, count: filters)
        made.shift.initialize(repeating: 0, count: filters)
        own = made
        return made
    }
}
