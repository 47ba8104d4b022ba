import Shared

/// The network without the filters that a mask disables, with its layers refitted: on some images, each refitted
/// layer's output comes as close as possible to its output in the unpruned network. Linear least squares, as in He,
/// Zhang and Sun (2017), "Channel pruning for accelerating very deep neural networks", section 3.1.
///
/// ``LayerFit`` says which layers to refit and their targets. They are refitted in the order of evaluation, and each
/// reads the current outputs of the layers before it, so it also makes up for their errors.
///
/// A batch norm after the layer is part of the fit: the targets are the values after it, and it gets the statistics of
/// the fitted outputs on these images, with the scale and shift that leave the fit unchanged. Its old statistics would
/// be wrong, since the outputs of a fit vary less than its targets; new statistics with the old scale would amplify
/// them again. So frozen statistics and those of a batch give the same values, and fine-tuning starts where the fit
/// ended.
struct Reconstruction {
    private let original: Network
    private let mask: Mask
    private let removal: Removal
    private let images: FittingImages

    /// Prepares it.
    init(_ original: Network, removing mask: Mask, images: FittingImages) throws {
        self.original = original
        self.mask = mask
        removal = try Removal(original.graph, removing: mask)
        self.images = images
    }

    /// What a refit did.
    struct Step {
        /// The layer's name.
        let layer: String
        /// The node of the unpruned network with the target values.
        let target: String
        /// The layer's sum of squared errors before the refit, and after it.
        let missedBefore: Double
        let missed: Double
        /// The network with this layer refitted, and those before it.
        let network: Network
    }

    /// The smaller network. `observe` is called after every refit. Throws a ``Failure`` if a layer's equations cannot
    /// be solved or the memory is too small.
    func network(observe: (Step) -> Void = { _ in }) throws -> Network {
        let order = original.graph.shortWaysFirst
        let fits = LayerFit.all(removal, of: original.graph, removing: mask, order: order)
        var smaller = original.removing(removal)
        if fits.isEmpty { return smaller }
        smaller = try smaller.addingBiases(to: Set(fits.filter { $0.norm == nil }.map(\.smaller)))
        let before = images.walk(original, order: order)
        let after = images.walk(smaller, order: smaller.graph.order(like: order, of: original.graph))
        for fit in fits {
            let step = try refit(fit, before, after)
            after.network = step.network
            observe(step)
        }
        return after.network
    }

    private func refit(_ fit: LayerFit, _ before: NetworkWalk, _ after: NetworkWalk) throws -> Step {
        let layer = FittedLayer(fit, of: after.network, removal)
        let rows = LayerRows(
            of: fit.smaller, in: after.network.graph, inputs: layer.groups.map(\.inputs).max() ?? 0,
            images: images.count)
        var equations = layer.groups.map { group in
            self.equations(inputs: group.inputs, targets: group.filters.count, rows: rows.pixels * images.count)
        }
        let input = after.network.graph.nodes[fit.smaller].inputs[0]
        let (read, wanted) = (after.lines(of: input), before.lines(of: fit.target))
        let lessened = fit.added.map(after.lines) ?? []
        let filters = layer.groups.flatMap(\.filters)
        try images.add(
            rows,
            FittingImages.Source(
                walk: after, position: after.position(before: fit.smaller),
                channels: layer.groups.flatMap(\.channels).map { read[$0] },
                targets: (
                    before, before.position(after: fit.target),
                    filters.map { wanted[removal.kept[fit.layer][$0]] }
                ), lessen: lessened.isEmpty ? [] : filters.map { lessened[$0] }),
            to: &equations)
        var (missedBefore, missed) = (0.0, 0.0)
        var changed = layer
        for (index, group) in layer.groups.enumerated() where !group.filters.isEmpty {
            let solution = try equations[index].solve(
                near: layer.weights(of: group),
                constants: group.filters.map(layer.constant))
            changed.set(solution, for: group)
            missedBefore += solution.missedBefore.reduce(0, +)
            missed += solution.missed.reduce(0, +)
        }
        return Step(
            layer: original.graph.nodes[fit.layer].name, target: original.graph.nodes[fit.target].name,
            missedBefore: missedBefore, missed: missed, network: changed.network)
    }

    /// Rows per input below which the rows' equations are solved, whose `λ` follows from the rows.
    private static let fewRows = 4

    /// The equations of a group of filters, within the memory. Few rows use a separate form.
    private func equations(inputs: Int, targets: Int, rows: Int) -> any LeastSquares {
        let capacity = RowEquations.capacity(inputs: inputs, targets: targets, bytesMax: images.equationBytesMax)
        let isFew = rows < inputs || (rows < Self.fewRows * inputs && rows <= capacity)
        if !isFew, NormalEquations.bytes(inputs: inputs) <= images.equationBytesMax {
            return NormalEquations(inputs: inputs, targets: targets)
        }
        return RowEquations(inputs: inputs, targets: targets, capacity: max(1, min(rows, capacity)))
    }
}

extension Network {
    /// The same network with biases added to the given layers, initially zero.
    fileprivate func addingBiases(to layers: Set<Int>) throws -> Network {
        let graph = try graph.addingBiases(to: layers)
        var tensors = parameters
        for parameter in graph.parameters where tensors[parameter.name] == nil {
            tensors[parameter.name] = Tensor(
                shape: parameter.shape, values: Array(repeating: 0, count: parameter.shape.reduce(1, *)))
        }
        return Network(graph: graph, parameters: tensors, facts: facts)
    }
}
