import Shared

/// What is computed, in which order and where in an arena, for a block of images and a tree of masks.
///
/// The tree is walked depth first. A stage's output stays in the arena until the last stage, under the last child, that
/// reads it; the children of a node are computed together, up to ``Options/branchesMax`` of them. Places are in
/// *lines*: one pixel of one channel of all images in a vector. It knows neither how many these are nor how a step is
/// computed.
final class Schedule {
    /// What else determines a schedule, besides the network and the tree.
    struct Options {
        /// Children of a node to compute together.
        var branchesMax: Int
        /// Whether it is the pass over the calibration images: outputs aren't evaluated.
        var isCalibration: Bool
        /// The stages whose statistics such a pass takes; their results stay raw for that.
        var measured: Set<Int> = []
        /// The stages with separate norms for each node.
        var ownNorms: Set<Int> = []
        /// Existing values of a prefix that all masks share.
        var start: Start?
        /// The cuts after which values will be kept; 0 for none. All masks must share them.
        var keptCuts = 0
        /// When stages are computed in rows.
        var chains = Chain.Rule()
    }

    /// A stage's output: the places of its channels.
    struct Value {
        /// The memory, which is this value's alone.
        var range: Range<Int>
        /// For every channel its first line, or -1 for one that is absent under all masks at hand.
        var lines: [Int32]
        /// For every channel, the filter that decides whether a mask has it, while undecided; otherwise -1.
        var filters: [Int32]
    }

    /// The values of a prefix in separate memory, consecutively.
    struct Start {
        /// Decided cuts, at least one.
        let cuts: Int
        /// Values by number, with lines that count from the start of this memory.
        let values: [(number: Int, value: Value)]
        /// Lines of the memory.
        let lines: Int
    }

    /// A stage, computed for one or more masks that share its inputs.
    struct Step {
        /// The stage's place in ``Stages/list``.
        let stage: Int
        /// The places of the channels that it reads, or -1; the same for all branches.
        let input: [Int32]
        /// A product's second factor.
        let other: [Int32]
        let branches: [Branch]
        /// Whether the result is left raw, for statistics.
        let isRaw: Bool
        /// Its part in a chain.
        let link: Link
    }

    /// A step's part in a chain of stages computed a few rows at a time.
    enum Link {
        case none
        /// It is computed with the last one, which follows.
        case deferred
        /// It ends a chain of this many steps.
        case last(Chain)
    }

    /// One mask's share of a step.
    struct Branch {
        /// The input channels that it reads.
        var channels: [Int]
        /// The channels that it computes, ascending.
        var computed: [Int]
        /// For every output channel its place, or -1.
        var lines: [Int32]
        /// For every channel the place of its addend, or -1; empty if nothing is added.
        var residual: [Int32]
        /// Channels that are not computed and get only the addend.
        var passed: [Int]
        /// The node whose norm it uses, if that has its own.
        let node: PrefixTree.Node
    }

    /// The end of a path through the tree.
    struct Leaf {
        /// The places of the logits.
        let logits: [Int32]
        /// The batch's masks with this result.
        let masks: [Int]
    }

    /// One action for a block of images.
    enum Item {
        case step(Step)
        case leaf(Leaf)
    }

    private(set) var items: [Item] = []
    /// The answer to ``Options/keptCuts``: before which item the values exist, and the pieces of the arena that hold
    /// them, in the order of ``Start``.
    private(set) var kept: (item: Int, start: Start, pieces: [Range<Int>])?
    /// Where to put the images, or the pieces of ``Options/start``, in its order.
    private(set) var input: [Range<Int>] = []
    /// Lines of every channel of the images.
    private(set) var imageLines: [Int32] = []
    /// Lines of an arena.
    var arenaLines: Int { plan.lines }
    /// Groups of images side by side in a block: several if everything is a vector, to reuse each weight.
    let groups: Int

    let stages: Stages
    let tree: PrefixTree
    let options: Options
    private var plan = ArenaPlan()

    /// Groups of a network of vectors only.
    static let vectorGroups = 4

    /// Plans the evaluation of a tree.
    init(_ stages: Stages, _ tree: PrefixTree, _ options: Options) {
        self.stages = stages
        self.tree = tree
        self.options = options
        // A group has other images; statistics must tell them apart.
        groups = stages.isVectorOnly && !options.isCalibration ? Self.vectorGroups : 1
        var path = Path(values: [:], owned: [])
        if let start = options.start {
            path = takeInput(start)
            continued(tree.trunk[start.cuts], from: stages.cuts[start.cuts - 1] + 1, path)
        } else {
            let image = take(Array(0..<stages.shape(ofValue: 0).channels), ofValue: 0)
            input = [image.range]
            imageLines = image.lines
            path.values[0] = image
            path.owned = [0]
            continued(tree.root, from: 0, path)
        }
    }

    // MARK: Values

    /// The values on the way through the tree.
    private struct Path {
        /// By number: 0 is the image, `n` the output of stage `n - 1`.
        var values: [Int: Value]
        /// Those whose memory may be freed on this path.
        var owned: Set<Int>
    }

    /// Lines of a channel: an odd number, so the channels of one pixel do not share cache sets.
    func plane(_ shape: Shape) -> Int {
        shape.isVector ? groups : (shape.pixels + 2 * shape.width + 1) | 1
    }

    /// Allocates memory for some channels of a value, or for some rows of them.
    private func take(_ channels: [Int], ofValue number: Int, rows: Int? = nil) -> Value {
        let shape = stages.shape(ofValue: number)
        let plane = rows.map { ($0 * shape.width) | 1 } ?? plane(shape)
        let range = plan.take(max(channels.count, 1) * plane)
        var lines = [Int32](repeating: -1, count: shape.channels)
        for (slot, channel) in channels.enumerated() { lines[channel] = Int32(range.lowerBound + slot * plane) }
        return Value(range: range, lines: lines, filters: Array(repeating: -1, count: shape.channels))
    }

    private func takeInput(_ start: Start) -> Path {
        var path = Path(values: [:], owned: [])
        for (number, value) in start.values {
            let range = plan.take(value.range.count)
            input.append(range)
            path.values[number] = value.moved(to: range)
            path.owned.insert(number)
        }
        return path
    }

    /// The places of the channels that a stage reads.
    private func lines(_ sources: [Stage.Source?], _ path: Path) -> [Int32] {
        sources.map { source in
            guard let source, let value = path.values[source.value] else { return -1 }
            let line = value.lines[source.channel]
            return line < 0 ? -1 : line + Int32(source.pixel)
        }
    }

    /// The filters that decide over the channels that a stage reads, while undecided.
    private func filters(_ sources: [Stage.Source?], _ path: Path) -> [Int32] {
        sources.map { source in source.flatMap { path.values[$0.value]?.filters[$0.channel] } ?? -1 }
    }

    /// The path as seen by a node that decides layers: channels of disabled filters are gone, those of active ones are
    /// final.
    private func decided(_ path: Path, _ layers: [Int], at node: PrefixTree.Node) -> Path {
        var result = path
        for layer in layers {
            let first = stages.space.layers[layer].filters.lowerBound
            let all = stages.space.layers[layer].filters
            let active = Set(tree.filters(layer, at: node))
            for (number, value) in result.values where value.filters.contains(where: { all.contains(Int($0)) }) {
                var changed = value
                for (channel, filter) in value.filters.enumerated() where all.contains(Int(filter)) {
                    changed.filters[channel] = -1
                    if !active.contains(Int(filter) - first) { changed.lines[channel] = -1 }
                }
                result.values[number] = changed
            }
        }
        return result
    }

    private func release(_ number: Int, _ path: inout Path) {
        if path.owned.remove(number) != nil, let value = path.values[number] { plan.release(value.range) }
        path.values[number] = nil
    }

    /// Frees what no later stage reads.
    private func releaseDead(after stage: Int, _ path: inout Path) {
        for number in path.values.keys.sorted() where stages.lastReaders[number] <= stage { release(number, &path) }
    }

    // MARK: The walk

    /// Everything under a node from a stage on.
    private func continued(_ node: PrefixTree.Node, from first: Int, _ path: Path) {
        var path = path
        var index = first
        while index < stages.list.count {
            let chain = chain(from: index, under: node)
            if let chain {
                for capacity in chain.capacities.dropLast() {
                    compute(index, node, &path, rows: capacity)
                    index += 1
                }
            }
            let link = chain.map { Link.last($0) } ?? .none
            if stages.list[index].decides.isEmpty {
                compute(index, node, &path, link)
                index += 1
                continue
            }
            branch(index, node, path, link)
            return
        }
        if !options.isCalibration {
            items.append(.leaf(Leaf(logits: lines(stages.logits.map { $0 }, path), masks: node.masks)))
        }
        for number in path.values.keys.sorted() { release(number, &path) }
    }

    /// The longest chain that starts with a stage; nil if there is none. All but its last stage are computed for all
    /// masks under the node at once, and the last one once.
    private func chain(from first: Int, under node: PrefixTree.Node) -> Chain? {
        if options.isCalibration { return nil }
        var last = first
        while stages.handsOn[last], stages.list[last].decides.isEmpty,
            stages.list[last].shape.count >= options.chains.linesMin,
            stages.list[last + 1].decides.isEmpty || node.children.count <= options.branchesMax
        {
            last += 1
        }
        let windows = stages.list[first...last].compactMap(\.window)
        guard last > first, windows.count == last - first + 1 else { return nil }
        let width = stages.list[last].shape.width
        return Chain(windows, rows: (options.chains.pixels + width - 1) / width)
    }

    /// A stage that all masks under a node share. With `rows` it is deferred, and its output has memory for that many.
    private func compute(
        _ index: Int, _ node: PrefixTree.Node, _ path: inout Path, _ link: Link = .none, rows: Int? = nil
    ) {
        let made = branch(
            index, of: node, path, mayReplace: !options.isCalibration && rows == nil && mayReplace(index, link, path),
            isKept: node.depth < options.keptCuts, rows: rows)
        append(index, path, [made.branch], rows == nil ? link : .deferred)
        if let replaced = made.replaced { path.owned.remove(replaced) }
        path.values[index + 1] = made.value
        path.owned.insert(index + 1)
        // A chain's inputs are needed until its end.
        if rows == nil { releaseDead(after: index, &path) }
    }

    /// Whether a stage may overwrite its addend: not if an earlier stage of its chain still reads it.
    private func mayReplace(_ index: Int, _ link: Link, _ path: Path) -> Bool {
        guard case .last(let chain) = link, let residual = stages.list[index].residual else { return true }
        let added = Set(residual.sources.compactMap { $0?.value })
        let first = index + 1 - chain.isAhead.count
        return (first..<index).allSatisfy { stage in
            let read = stages.list[stage]
            let sources = (read.inputs + [read.residual?.sources ?? []]).joined()
            guard sources.contains(where: { $0.map { added.contains($0.value) } ?? false }) else { return true }
            guard let window = read.window else { return false }
            return chain.isAhead[stage - first] && window.reach == 1 && window.stride == 1 && window.padding == 0
        }
    }

    /// A stage that distinguishes masks: its children share its inputs.
    private func branch(_ index: Int, _ node: PrefixTree.Node, _ path: Path, _ link: Link) {
        let layers = stages.list[index].decides
        var path = path
        var start = 0
        while start < node.children.count {
            let chunk = Array(node.children[start..<min(start + options.branchesMax, node.children.count)])
            start += chunk.count
            let isLast = start == node.children.count
            var paths = chunk.map { decided(path, layers, at: $0) }
            var branches: [Branch] = []
            for (place, child) in chunk.enumerated() {
                let isVeryLast = isLast && place == chunk.count - 1
                if !isVeryLast { paths[place].owned = [] }
                let made = branch(
                    index, of: child, paths[place],
                    mayReplace: isVeryLast && !options.isCalibration && mayReplace(index, link, path),
                    isKept: child.depth <= options.keptCuts)
                branches.append(made.branch)
                if let replaced = made.replaced { paths[place].owned.remove(replaced) }
                paths[place].values[index + 1] = made.value
                paths[place].owned.insert(index + 1)
            }
            append(index, path, branches, link)
            // Inputs that only this stage still reads are free before the children continue.
            for place in chunk.indices { releaseDead(after: index, &paths[place]) }
            path.owned = isLast ? [] : path.owned
            for (child, path) in zip(chunk, paths) {
                reached(child, path)
                continued(child, from: index + 1, path)
            }
        }
    }

    private func append(_ index: Int, _ path: Path, _ branches: [Branch], _ link: Link) {
        let stage = stages.list[index]
        items.append(
            .step(
                Step(
                    stage: index, input: lines(stage.inputs[0], path),
                    other: stage.inputs.count > 1 ? lines(stage.inputs[1], path) : [], branches: branches,
                    isRaw: options.isCalibration && options.measured.contains(index), link: link)))
    }

    /// One mask's share of a stage, with memory for its output, or for some rows of it. With `mayReplace` that may
    /// overwrite the addend.
    private func branch(
        _ index: Int, of node: PrefixTree.Node, _ path: Path, mayReplace: Bool, isKept: Bool, rows: Int? = nil
    ) -> (branch: Branch, value: Value, replaced: Int?) {
        let stage = stages.list[index]
        let channelCount = stage.shape.channels
        let input = lines(stage.inputs[0], path)
        var filters = [Int32](repeating: -1, count: channelCount)
        var computed: [Int]
        if case .layer = stage.kind {
            computed = Array(0..<channelCount)
            if let layer = stage.layer {
                let isDecided = stage.decides.contains(layer)
                computed = isDecided ? tree.filters(layer, at: node) : open(layer, at: node, isKept: isKept)
                if !isDecided {
                    let first = Int32(stages.space.layers[layer].filters.lowerBound)
                    for channel in computed { filters[channel] = first + Int32(channel) }
                }
            }
        } else {
            // A depthwise convolution may make several channels of one.
            let multiple = channelCount / input.count
            let open = self.filters(stage.inputs[0], path)
            let other = stage.inputs.count > 1 ? lines(stage.inputs[1], path) : []
            let openOther = stage.inputs.count > 1 ? self.filters(stage.inputs[1], path) : []
            computed = (0..<channelCount).filter { channel in
                guard input[channel / multiple] >= 0 else { return false }
                return other.isEmpty || other[other.count == 1 ? 0 : channel] >= 0
            }
            for channel in computed {
                filters[channel] = open[channel / multiple]
                if filters[channel] < 0, !openOther.isEmpty {
                    filters[channel] = openOther[openOther.count == 1 ? 0 : channel]
                }
            }
        }
        var residual: [Int32] = []
        var passed: [Int] = []
        if let added = stage.residual {
            residual = lines(added.sources, path)
            let isComputed = Set(computed)
            passed = (0..<channelCount).filter { residual[$0] >= 0 && !isComputed.contains($0) }
            // A sum is decided.
            filters = Array(repeating: -1, count: channelCount)
        }
        let present = passed.isEmpty ? computed : (computed + passed).sorted()
        var value: Value
        let replaced = mayReplace ? replaceable(stage, index, residual, present, path) : nil
        if let replaced, let old = path.values[replaced] {
            value = old
            let isPresent = Set(present)
            for channel in value.lines.indices where !isPresent.contains(channel) { value.lines[channel] = -1 }
        } else {
            value = take(present, ofValue: index + 1, rows: rows)
        }
        value.filters = filters
        let branch = Branch(
            channels: input.indices.filter { input[$0] >= 0 }, computed: computed, lines: value.lines,
            residual: residual, passed: passed, node: node)
        return (branch, value, replaced)
    }

    /// The filters of an undecided layer: those of any mask under the node, or all of them if the next batch, whose
    /// masks may have others, starts from here.
    private func open(_ layer: Int, at node: PrefixTree.Node, isKept: Bool) -> [Int] {
        let isOpenAfter = !stages.layersByCut.prefix(options.keptCuts).contains { $0.contains(layer) }
        if isKept, isOpenAfter { return Array(0..<stages.space.layers[layer].filters.count) }
        return tree.union(layer, under: node)
    }

    /// The value that a stage may overwrite: its addend, if every channel stays in place and nobody else reads it.
    private func replaceable(
        _ stage: Stage, _ index: Int, _ residual: [Int32], _ present: [Int], _ path: Path
    ) -> Int? {
        guard let added = stage.residual, added.stride == 1, added.shape == stage.shape,
            let first = added.sources.first ?? nil, let value = path.values[first.value],
            path.owned.contains(first.value), stages.lastReaders[first.value] == index,
            stages.shape(ofValue: first.value) == stage.shape,
            added.sources.enumerated().allSatisfy({ channel, source in
                source == Stage.Source(value: first.value, channel: channel, pixel: 0)
            }),
            !stage.inputs.joined().contains(where: { $0?.value == first.value }),
            present.allSatisfy({ residual[$0] >= 0 && value.lines[$0] == residual[$0] })
        else { return nil }
        return first.value
    }

    /// Marks everything after a node's cut as existing.
    private func reached(_ node: PrefixTree.Node, _ path: Path) {
        guard node.depth > 0, node.depth == options.keptCuts else { return }
        var values: [(number: Int, value: Value)] = []
        var pieces: [Range<Int>] = []
        var lines = 0
        for number in path.values.keys.sorted() {
            guard let value = path.values[number] else { continue }
            let range = lines..<lines + value.range.count
            values.append((number, value.moved(to: range)))
            pieces.append(value.range)
            lines = range.upperBound
        }
        kept = (items.count, Start(cuts: node.depth, values: values, lines: lines), pieces)
    }
}

extension Schedule.Value {
    /// The same value in another piece of memory.
    func moved(to target: Range<Int>) -> Schedule.Value {
        let shift = Int32(target.lowerBound - range.lowerBound)
        return Schedule.Value(
            range: target, lines: lines.map { $0 < 0 ? -1 : $0 + shift }, filters: filters)
    }
}
