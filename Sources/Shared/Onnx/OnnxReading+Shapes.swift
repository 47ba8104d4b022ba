extension Onnx.Reading {
    /// Operators that rearrange channels and pixels; nil for others.
    mutating func reshaped(_ call: Call) throws -> [Value]? {
        switch call.node.type {
        case "Shape": return [.constant(try shape(call))]
        case "Size":
            return [.constant(Onnx.Constant([], .integers([try batch * call.view(0).count])))]
        case "Reshape": return [.view(try reshape(call))]
        case "Flatten": return [.view(try flatten(call))]
        case "Squeeze": return [.view(try squeeze(call))]
        case "Unsqueeze": return [.view(try unsqueeze(call))]
        case "Transpose": return [.view(try transpose(call))]
        case "Concat": return [.view(try concatenate(call))]
        case "Split": return try split(call).map(Value.view)
        case "SplitToSequence": return [.sequence(try splitToSequence(call).map(Value.view))]
        case "SequenceAt": return [try element(call)]
        case "Slice": return [.view(try slice(call))]
        case "Gather": return [.view(try gather(call))]
        case "Pad": return [.view(try pad(call))]
        case "Expand": return [.view(try expand(call))]
        default: return nil
        }
    }

    private func shape(_ call: Call) throws -> Onnx.Constant {
        let whole = [batch] + (try call.view(0).dimensions)
        func bound(_ name: String, _ value: Int) throws -> Int {
            let place = try call.integer(name, default: value)
            return min(max(place < 0 ? place + whole.count : place, 0), whole.count)
        }
        let (start, end) = (try bound("start", 0), try bound("end", whole.count))
        return Onnx.Constant(vector: Array(whole[start..<max(start, end)]))
    }

    // MARK: Reshaping

    private mutating func reshape(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        guard var target = try call.integers("shape", orInput: 1) else { throw call.failure("its shape is missing") }
        let source = [batch] + view.dimensions
        if try call.integer("allowzero", default: 0) == 0 {
            for index in target.indices where target[index] == 0 && index < source.count {
                target[index] = source[index]
            }
        }
        let count = batch * view.count
        if let open = target.firstIndex(of: -1) {
            target[open] = 1
            let known = (try? Onnx.Constant.count(of: target)) ?? 0
            guard known > 0, count % known == 0 else {
                throw call.failure("it reshapes \(view.dimensions) to \(target), which does not divide it")
            }
            target[open] = count / known
        }
        guard target.first == batch else {
            throw call.failure(
                "it reshapes images of \(view.dimensions) to \(target), which mixes images of a batch of \(batch)")
        }
        return try reshape(view, Array(target.dropFirst()), call)
    }

    private mutating func flatten(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        let axis = try call.integer("axis", default: 1)
        guard try axis == 1 || call.axis(axis, rank: view.axes.count + 1) == 1 else {
            throw call.failure("it flattens from axis \(axis) on; Winnow reads axis 1, a vector for each image")
        }
        return try reshape(view, [view.count], call)
    }

    private func squeeze(_ call: Call) throws -> Onnx.View {
        var view = try call.view(0)
        let rank = view.axes.count + 1
        let axes: [Int]
        if let given = try call.integers("axes", orInput: 1) {
            axes = try given.map { try call.axis($0, rank: rank) }
        } else {
            axes = view.axes.indices.filter { view.axes[$0].extent == 1 }.map { $0 + 1 }
        }
        guard !axes.contains(0) else { throw call.failure("it removes the batch; squeeze the pixels only") }
        guard axes.allSatisfy({ view.axes[$0 - 1].extent == 1 }) else {
            throw call.failure("it removes dimensions \(axes) of \(view.dimensions), which are not of extent 1")
        }
        view.axes = view.axes.indices.filter { !axes.contains($0 + 1) }.map { view.axes[$0] }
        return view
    }

    private func unsqueeze(_ call: Call) throws -> Onnx.View {
        var view = try call.view(0)
        guard let given = try call.integers("axes", orInput: 1) else { throw call.failure("its axes are missing") }
        let rank = view.axes.count + 1 + given.count
        guard rank <= Onnx.StoredTensor.dimensionsMax else { throw call.failure("it makes \(rank) dimensions") }
        for axis in try given.map({ try call.axis($0, rank: rank) }).sorted() {
            guard axis > 0, axis <= view.axes.count + 1 else {
                throw call.failure("it puts a dimension before the batch, or one twice")
            }
            view.axes.insert(.init(extent: 1, stride: 1), at: axis - 1)
        }
        return view
    }

    private func transpose(_ call: Call) throws -> Onnx.View {
        var view = try call.view(0)
        let rank = view.axes.count + 1
        let order = try call.integers("perm") ?? (0..<rank).reversed()
        guard order.sorted() == Array(0..<rank) else { throw call.failure("its perm \(order) is no order of \(rank)") }
        guard order[0] == 0 else { throw call.failure("it moves the batch to another dimension (perm \(order))") }
        view.axes = order.dropFirst().map { view.axes[$0 - 1] }
        return view
    }

    private func expand(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        guard let shape = try call.optionalIntegers(1),
            Onnx.Constant.broadcast(shape, [batch] + view.dimensions) == [batch] + view.dimensions
        else { throw call.failure("it repeats pixels; Winnow reads broadcasts within sums and products only") }
        return view
    }

    // MARK: Joining and parting

    private mutating func concatenate(_ call: Call) throws -> Onnx.View {
        let origin = origin(call)
        guard let first = call.inputs.lazy.compactMap({ $0?.view }).first else {
            throw call.failure("it concatenates no channels")
        }
        let axis = try call.axis(call.integer("axis", default: 1), rank: first.axes.count + 1)
        guard axis == 1 else {
            throw call.failure("it concatenates along axis \(axis); Winnow reads the concatenation of channels")
        }
        var nodes: [Int] = []
        // Zeros in place of channels are how some networks pad their shortcuts.
        var selected: [Int?] = []
        var count = 0
        for index in call.inputs.indices {
            if case .constant(let constant) = call.input(index) {
                guard constant.uniform == 0, constant.dimensions.count == first.axes.count + 1 else {
                    throw call.failure("it concatenates constants that are not zero; Winnow has no such channels")
                }
                try budget.take(MemoryLayout<Int?>.stride * constant.dimensions[1])
                selected += [Int?](repeating: nil, count: constant.dimensions[1])
            } else {
                let node = try channels(call.view(index), call, origin)
                let channels = draft.shape(node).channels
                try budget.take(MemoryLayout<Int?>.stride * channels)
                nodes.append(node)
                selected += (count..<count + channels).map { $0 }
                count += channels
            }
        }
        var node = try nodes.count == 1 ? nodes[0] : draft.add(.concatenate, nodes, origin)
        if selected.count > count { node = try draft.addSelect(selected, node, origin.with("select")) }
        let shape = draft.shape(node)
        return Onnx.View(node, first.axes.count == 1 ? [shape.channels] : shape.dimensions)
    }

    private mutating func split(_ call: Call) throws -> [Onnx.View] {
        let view = try call.view(0)
        let axis = try call.axis(call.integer("axis", default: 0), rank: view.axes.count + 1)
        guard axis > 0 else { throw call.failure("it splits the batch") }
        let extent = view.axes[axis - 1].extent
        if let sizes = try call.integers("split", orInput: 1) { return try parts(call, view, axis, sizes) }
        let parts = try call.integer("num_outputs", default: call.node.outputs.count)
        guard parts > 0, parts <= extent else { throw call.failure("it splits \(extent) into \(parts)") }
        return try self.parts(call, view, axis, equal: (extent + parts - 1) / parts, extent)
    }

    private mutating func splitToSequence(_ call: Call) throws -> [Onnx.View] {
        let view = try call.view(0)
        let axis = try call.axis(call.integer("axis", default: 0), rank: view.axes.count + 1)
        guard axis > 0, try call.integer("keepdims", default: 1) != 0 else {
            throw call.failure("it splits the batch, or into single channels without a dimension")
        }
        let extent = view.axes[axis - 1].extent
        guard let split = try call.optionalConstant(1), let sizes = split.integers else {
            return try parts(call, view, axis, equal: 1, extent)
        }
        // A scalar is the size of every part but the last.
        if split.dimensions.isEmpty { return try parts(call, view, axis, equal: sizes[0], extent) }
        return try parts(call, view, axis, sizes)
    }

    private mutating func parts(
        _ call: Call, _ view: Onnx.View, _ axis: Int, equal size: Int, _ extent: Int
    ) throws -> [Onnx.View] {
        guard size > 0 else { throw call.failure("it splits into parts of \(size)") }
        return try parts(
            call, view, axis, stride(from: 0, to: extent, by: size).map { min(size, extent - $0) })
    }

    private mutating func parts(
        _ call: Call, _ view: Onnx.View, _ axis: Int, _ sizes: [Int]
    ) throws -> [Onnx.View] {
        let extent = view.axes[axis - 1].extent
        guard sizes.allSatisfy({ (1...extent).contains($0) }), sizes.reduce(0, +) == extent else {
            throw call.failure("it splits \(extent) into \(sizes)")
        }
        var start = 0
        return try sizes.map { size in
            defer { start += size }
            return try part(call, view, [axis: Places(start: start, step: 1, count: size)])
        }
    }

    private func element(_ call: Call) throws -> Value {
        guard case .sequence(let values) = call.input(0), let index = try call.optionalIntegers(1)?.first,
            (-values.count..<values.count).contains(index)
        else { throw call.failure("it takes an element that its sequence does not have") }
        return values[index < 0 ? index + values.count : index]
    }

    // MARK: Parts of channels

    /// Every `step`-th place of a dimension.
    struct Places {
        var start: Int
        var step: Int
        var count: Int
    }

    private mutating func slice(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        let rank = view.axes.count + 1
        var ranges: [Int: Places] = [:]
        for (axis, start, end, step) in try call.slices(rank: rank) {
            let extent = axis == 0 ? batch : view.axes[axis - 1].extent
            let range = try Self.places(start, end, step, extent: extent, call)
            if range.start == 0, range.step == 1, range.count == extent { continue }
            guard axis > 0 else { throw call.failure("it takes a part of the batch") }
            ranges[axis] = range
        }
        return ranges.isEmpty ? view : try part(call, view, ranges)
    }

    static func places(_ start: Int, _ end: Int, _ step: Int, extent: Int, _ call: Call) throws -> Places {
        guard step != 0, step > -extent - 1, step != Int.min else { throw call.failure("its step is \(step)") }
        func place(_ given: Int, _ bounds: ClosedRange<Int>) -> Int {
            let counted = given < 0 ? max(given, -extent - 1) + extent : given
            return min(max(counted, bounds.lowerBound), bounds.upperBound)
        }
        let (first, last) =
            step > 0
            ? (place(start, 0...extent), place(end, 0...extent))
            : (place(start, 0...extent - 1), place(end, -1...extent - 1))
        let distance = step > 0 ? last - first : first - last
        let size = min(abs(step), extent)
        guard distance > 0 else { throw call.failure("it takes nothing of \(extent)") }
        return Places(start: first, step: step > 0 ? size : -size, count: (distance - 1) / size + 1)
    }

    /// Some places of some dimensions of an image or a vector.
    private mutating func part(_ call: Call, _ view: Onnx.View, _ ranges: [Int: Places]) throws -> Onnx.View {
        let origin = origin(call)
        guard view.axes.count == 3 || view.axes.count == 1 else {
            throw call.failure("it takes a part of a tensor of \(view.axes.count + 1) dimensions, not of images")
        }
        var node = try channels(view, call, origin)
        if let range = ranges[1] {
            try budget.take(MemoryLayout<Int?>.stride * range.count)
            let channels = (0..<range.count).map { range.start + $0 * range.step }
            node = try draft.addSelect(channels, node, origin)
        }
        if ranges[2] != nil || ranges[3] != nil {
            let shape = draft.shape(node)
            let rows = ranges[2] ?? Places(start: 0, step: 1, count: shape.height)
            let columns = ranges[3] ?? Places(start: 0, step: 1, count: shape.width)
            guard rows.step > 0, columns.step > 0 else { throw call.failure("it reverses rows or columns") }
            node = try draft.addCrop(
                .init(
                    top: rows.start, left: columns.start, step: .init(rows.step, columns.step),
                    size: .init(rows.count, columns.count)), node, origin)
        }
        return Onnx.View(node, view.axes.count == 1 ? [draft.shape(node).channels] : draft.shape(node).dimensions)
    }

    /// Some channels, in a constant order, or one row or column.
    private mutating func gather(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        let axis = try call.axis(call.integer("axis", default: 0), rank: view.axes.count + 1)
        let indices = try call.constant(1)
        guard axis > 0, let places = indices.integers, !places.isEmpty, indices.dimensions.count <= 1 else {
            throw call.failure("it gathers images, or by indices of several dimensions")
        }
        let extent = view.axes[axis - 1].extent
        guard places.allSatisfy({ (-extent..<extent).contains($0) }) else {
            throw call.failure("it gathers \(places.prefix(8)) of \(extent)")
        }
        let positive = places.map { $0 < 0 ? $0 + extent : $0 }
        var result: Onnx.View
        if axis == 1 {
            let origin = origin(call)
            let node = try channels(view, call, origin)
            try budget.take(MemoryLayout<Int?>.stride * positive.count)
            let selected = try draft.addSelect(positive, node, origin)
            result = Onnx.View(
                selected, view.axes.count == 1 ? [positive.count] : draft.shape(selected).dimensions)
        } else {
            guard positive.count == 1 else { throw call.failure("it gathers several rows or columns") }
            result = try part(call, view, [axis: Places(start: positive[0], step: 1, count: 1)])
        }
        // A scalar index removes the dimension.
        if indices.dimensions.isEmpty { result.axes.remove(at: axis - 1) }
        return result
    }

    private mutating func pad(_ call: Call) throws -> Onnx.View {
        let view = try call.view(0)
        let rank = view.axes.count + 1
        let mode = try call.text("mode", default: "constant")
        guard mode == "constant" else { throw call.failure("it pads by \"\(mode)\"; Winnow reads zeros") }
        guard try (call.optionalFloat("value") ?? call.optionalNumber(2) ?? 0) == 0 else {
            throw call.failure("it pads with other values than zero")
        }
        guard let pads = try call.integers("pads", orInput: 1) else { throw call.failure("its pads are missing") }
        let axes = try (call.optionalIntegers(3) ?? Array(0..<rank)).map { try call.axis($0, rank: rank) }
        guard pads.count == 2 * axes.count,
            pads.allSatisfy({ (-GraphBuilder.extentMax...GraphBuilder.extentMax).contains($0) })
        else { throw call.failure("its pads \(pads.prefix(16)) do not fit") }
        var before = [Int](repeating: 0, count: rank)
        var after = before
        for (index, axis) in axes.enumerated() {
            before[axis] = pads[index]
            after[axis] = pads[axes.count + index]
        }
        guard before[0] == 0, after[0] == 0 else { throw call.failure("it pads the batch") }
        guard zip(before, after).contains(where: { $0 != 0 || $1 != 0 }) else { return view }
        return try pad(call, view, before, after)
    }

    private mutating func pad(_ call: Call, _ view: Onnx.View, _ before: [Int], _ after: [Int]) throws -> Onnx.View {
        guard view.axes.count == 3 || view.axes.count == 1 else {
            throw call.failure("it pads a tensor of \(view.axes.count + 1) dimensions, not images")
        }
        // A negative padding takes away.
        var ranges: [Int: Places] = [:]
        for axis in 1...view.axes.count where before[axis] < 0 || after[axis] < 0 {
            let start = max(-before[axis], 0)
            let count = view.axes[axis - 1].extent - start - max(-after[axis], 0)
            guard count > 0 else { throw call.failure("it takes away everything") }
            ranges[axis] = Places(start: start, step: 1, count: count)
        }
        let kept = ranges.isEmpty ? view : try part(call, view, ranges)
        let origin = origin(call)
        var node = try channels(kept, call, origin)
        let more = (before: before.map { max($0, 0) }, after: after.map { max($0, 0) })
        if more.before[1] + more.after[1] > 0 {
            let channels = draft.shape(node).channels
            try budget.take(MemoryLayout<Int?>.stride * (channels + more.before[1] + more.after[1]))
            let none = { (count: Int) in [Int?](repeating: nil, count: count) }
            let selected = none(more.before[1]) + (0..<channels).map { $0 } + none(more.after[1])
            node = try draft.addSelect(selected, node, origin)
        }
        if view.axes.count == 3 {
            let insets = Operation.Insets(
                top: more.before[2], left: more.before[3], bottom: more.after[2], right: more.after[3])
            if insets != .none { node = try draft.add(.pad(insets), [node], origin) }
        }
        return Onnx.View(node, view.axes.count == 1 ? [draft.shape(node).channels] : draft.shape(node).dimensions)
    }
}

extension Onnx.Reading.Value {
    fileprivate var view: Onnx.View? { if case .view(let view) = self { view } else { nil } }
}
