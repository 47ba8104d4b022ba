import Shared

extension Schedule {
    /// Every hidden layer once for each distinct set of the filters before it.
    func scheduleFullyConnected(_ connected: LinearChain) {
        let values = connected.layers[0].input
        let images = takeInput(channels: values, plane: groups * options.lanes)
        schedule(tree.root, images, owns: true, connected)
    }

    private func schedule(
        _ node: PrefixTree.Node, _ buffer: Buffer, owns: Bool, _ connected: LinearChain
    ) {
        let index = node.depth
        let layer = network.layers[index]
        let isLast = index == connected.layers.count - 1
        let filters = isLast ? Array(0..<layer.filters) : tree.union(index, ofChildren: node)
        let output = take(filters, of: layer.filters, plane: groups * options.lanes)
        let branch = Branch(
            channels: buffer.present, filters: filters, output: output, norm: layer.norm, isRectified: !isLast)
        if isLast {
            append(
                Leaf(
                    pool: nil, linear: describe(index, input: buffer, size: groups, branches: [branch]),
                    outputs: output.offset, plane: output.plane, masks: node.masks))
        } else {
            append(index, input: buffer, branches: [branch])
        }
        if owns { release(buffer) }
        for (position, child) in node.children.enumerated() {
            let kept = output.keeping(tree.filters(index, at: child))
            schedule(child, kept, owns: position == node.children.count - 1, connected)
        }
        if isLast { release(output) }
    }
}
