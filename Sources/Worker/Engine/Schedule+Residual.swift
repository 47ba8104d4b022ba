import CKernels
import Shared

extension Schedule {
    /// Floats between channels of a `size` × `size` image: odd in cache lines and not a power of two, so that the
    /// channels of one pixel do not share cache sets.
    private func plane(_ size: Int) -> Int { (size * size + 2 * size + 1) * options.lanes }

    /// The stem once, then the blocks from every distinct set of its filters; or what follows activations that are there.
    func scheduleResidual(_ residual: CIFARResNet) {
        if let start = options.start {
            schedule(tree.trunk[start.stages], takeInput(start), owns: true, residual)
            return
        }
        let root = tree.root
        let images = takeInput(channels: residual.imageChannels, plane: plane(residual.imageSize))
        let filters = tree.union(0, ofChildren: root)
        let stem = take(filters, of: residual.stem, plane: plane(residual.imageSize))
        let norm = norm(0, &root.sharedNorm)
        append(
            0, input: images,
            branches: [Branch(channels: Array(0..<residual.imageChannels), filters: filters, output: stem, norm: norm)])
        release(images)
        for (index, child) in root.children.enumerated() {
            let isLast = index == root.children.count - 1
            schedule(child, stem.keeping(tree.filters(0, at: child)), owns: isLast, residual)
        }
    }

    /// Everything under a node whose activations are in a buffer, which is given back where the node owns it.
    private func schedule(_ node: PrefixTree.Node, _ buffer: Buffer, owns: Bool, _ residual: CIFARResNet) {
        reached(node, buffer)
        guard node.depth <= residual.blocks.count else {
            if !options.isCalibration { appendHead(node, buffer, residual) }
            if owns { release(buffer) }
            return
        }
        let block = residual.blocks[node.depth - 1]
        let first = 2 * node.depth - 1
        let layers = (first: network.layers[first], second: network.layers[first + 1])
        let outputPlane = plane(layers.second.size)

        let hiddenFilters = tree.union(first, ofChildren: node)
        let hidden = take(hiddenFilters, of: block.hidden, plane: outputPlane)
        let hiddenNorm = norm(first, &node.sharedNorm)
        append(
            first, input: buffer,
            branches: [
                Branch(channels: buffer.present, filters: hiddenFilters, output: hidden, norm: hiddenNorm)
            ])

        var start = 0
        while start < node.children.count {
            let chunk = node.children[start..<min(start + options.branchesMax, node.children.count)]
            start += chunk.count
            let isLast = start == node.children.count
            var outputs: [Buffer] = []
            var branches: [Branch] = []
            for (index, child) in chunk.enumerated() {
                let filters = tree.filters(first + 1, at: child)
                let active = Set(filters)
                let source = Residual(
                    source: buffer, size: layers.first.size, stride: block.stride, map: block.shortcut)
                let present = (0..<block.output).filter { active.contains($0) || source.slot($0) >= 0 }
                let mayReplace = owns && isLast && index == chunk.count - 1 && !options.isCalibration
                let output =
                    mayReplace && canReplace(buffer, block, present)
                    ? buffer.keeping(present) : take(present, of: block.output, plane: outputPlane)
                outputs.append(output)
                branches.append(
                    Branch(
                        channels: tree.filters(first, at: child), filters: filters, output: output,
                        norm: norm(first + 1, &child.ownNorm), residual: source))
            }
            append(first + 1, input: hidden, branches: branches)
            if isLast {
                release(hidden)
                if owns, outputs.last?.range != buffer.range { release(buffer) }
            }
            for (child, output) in zip(chunk, outputs) { schedule(child, output, owns: true, residual) }
        }
    }

    /// Whether a block's output can be written over its input: every channel keeps its place.
    private func canReplace(_ buffer: Buffer, _ block: CIFARResNet.Block, _ present: [Int]) -> Bool {
        block.stride == 1 && block.input == block.output
            && present.allSatisfy { block.shortcut[$0] == $0 && buffer.slots[$0] >= 0 }
    }

    private func appendHead(_ node: PrefixTree.Node, _ buffer: Buffer, _ residual: CIFARResNet) {
        let index = network.layers.count - 1
        let layer = network.layers[index]
        let size = network.layers[index - 1].outputSize
        let channels = buffer.present
        let pooled = take(channels, of: layer.channels, plane: options.lanes)
        let outputs = take(Array(0..<layer.filters), of: layer.filters, plane: options.lanes)
        let branch = Branch(
            channels: channels, filters: Array(0..<layer.filters), output: outputs, norm: layer.norm,
            isRectified: false)
        let pool = Leaf.Pool(
            source: buffer.offset, plane: buffer.plane, size: size, slots: keep(channels.map { buffer.slots[$0] }),
            count: channels.count, target: pooled.offset)
        append(
            Leaf(
                pool: pool, linear: describe(index, input: pooled, size: 1, branches: [branch]),
                outputs: outputs.offset, plane: outputs.plane, masks: node.masks))
        release(pooled)
        release(outputs)
    }
}
