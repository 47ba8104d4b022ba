extension Onnx.Reading {
    /// Pools, windows over channels; nil for other operators.
    mutating func pooled(_ call: Call) throws -> [Value]? {
        switch call.node.type {
        case "MaxPool": [.view(try pool(call, .max))]
        case "AveragePool": [.view(try pool(call, .average))]
        case "GlobalAveragePool": [.view(try global(call) { _ in .adaptiveAverage(.one) })]
        case "GlobalMaxPool": [.view(try global(call, Self.largest))]
        case "ReduceMean": [.view(try reduce(call, .average))]
        case "ReduceMax": [.view(try reduce(call, .max))]
        case "ReduceSum": [.view(try sum(call))]
        default: nil
        }
    }

    /// A kernel's stride, dilation and padding.
    struct Window {
        var kernel: Operation.Extent
        var stride: Operation.Extent
        var dilation: Operation.Extent

        init(_ call: Call, kernel: Operation.Extent) throws {
            self.kernel = kernel
            func extent(_ name: String) throws -> Operation.Extent {
                guard let numbers = try call.integers(name) else { return .one }
                guard numbers.count == 2, numbers.allSatisfy({ (1...GraphBuilder.extentMax).contains($0) }) else {
                    throw call.failure("its \(name) \(numbers) are not two positive numbers")
                }
                return Operation.Extent(numbers[0], numbers[1])
            }
            stride = try extent("strides")
            dilation = try extent("dilations")
        }

        /// The padding, also if it must be calculated from the size.
        func padding(of shape: Shape, _ call: Call) throws -> Operation.Insets {
            switch try call.text("auto_pad", default: "NOTSET") {
            case "NOTSET", "":
                guard let pads = try call.integers("pads") else { return .none }
                guard pads.count == 4, pads.allSatisfy({ (0...GraphBuilder.extentMax).contains($0) }) else {
                    throw call.failure("its pads \(pads) are not four numbers from 0 to \(GraphBuilder.extentMax)")
                }
                return Operation.Insets(top: pads[0], left: pads[1], bottom: pads[2], right: pads[3])
            case "VALID": return .none
            case "SAME_UPPER": return same(shape, moreAtEnd: true)
            case "SAME_LOWER": return same(shape, moreAtEnd: false)
            case let other: throw call.failure("its auto_pad is \"\(other)\"")
            }
        }

        /// Enough that one window begins at every `stride`-th pixel.
        private func same(_ shape: Shape, moreAtEnd: Bool) -> Operation.Insets {
            func both(_ size: Int, _ kernel: Int, _ stride: Int, _ dilation: Int) -> (Int, Int) {
                let windows = (size + stride - 1) / stride
                let total = max((windows - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
                return moreAtEnd ? (total / 2, total - total / 2) : (total - total / 2, total / 2)
            }
            let (top, bottom) = both(shape.height, kernel.height, stride.height, dilation.height)
            let (left, right) = both(shape.width, kernel.width, stride.width, dilation.width)
            return Operation.Insets(top: top, left: left, bottom: bottom, right: right)
        }
    }

    private mutating func pool(_ call: Call, _ kind: Operation.Pool.Kind) throws -> Onnx.View {
        let origin = origin(call)
        var input = try image(call.view(0), call, origin)
        guard let sizes = try call.integers("kernel_shape"), sizes.count == 2,
            sizes.allSatisfy({ (1...GraphBuilder.extentMax).contains($0) })
        else { throw call.failure("its kernel_shape is not two positive numbers") }
        let window = try Window(call, kernel: Operation.Extent(sizes[0], sizes[1]))
        var pool = Operation.Pool(
            kind, kernel: window.kernel, stride: window.stride,
            padding: try window.padding(of: draft.shape(input), call), dilation: window.dilation,
            coversEnd: try call.integer("ceil_mode", default: 0) != 0,
            countsPadding: try kind == .max || call.integer("count_include_pad", default: 0) != 0)
        // Zeros around the channel, which PyTorch's older exporter writes as a separate node, are the pool's own.
        if kind == .average, pool.padding == .none, case .pad(let insets) = draft.operation(input),
            max(insets.top, insets.bottom) < pool.kernel.height, max(insets.left, insets.right) < pool.kernel.width
        {
            pool.padding = insets
            pool.countsPadding = true
            input = draft.nodes[input].inputs[0]
        }
        let node = try draft.add(.pool(pool), [input], origin)
        return Onnx.View(node, draft.shape(node).dimensions)
    }

    private mutating func global(_ call: Call, _ operation: (Shape) -> Operation) throws -> Onnx.View {
        let origin = origin(call)
        let input = try image(call.view(0), call, origin)
        let node = try draft.add(operation(draft.shape(input)), [input], origin)
        return Onnx.View(node, draft.shape(node).dimensions)
    }

    /// The largest value of each channel.
    private static func largest(_ shape: Shape) -> Operation {
        .pool(.init(.max, kernel: .init(shape.height, shape.width), stride: .one))
    }

    /// A mean or maximum over rows, columns or both.
    private mutating func reduce(_ call: Call, _ kind: Operation.Pool.Kind) throws -> Onnx.View {
        let origin = origin(call)
        let view = try call.view(0)
        let rank = view.axes.count + 1
        let axes = try (call.integers("axes", orInput: 1) ?? []).map { try call.axis($0, rank: rank) }
        if axes.isEmpty, try call.integer("noop_with_empty_axes", default: 0) != 0 { return view }
        guard !axes.isEmpty, !axes.contains(0), !axes.contains(1) else {
            throw call.failure("it reduces images or channels; Winnow reads means and maxima over rows and columns")
        }
        let isJoined = rank == 3
        let input = try image(isJoined ? separated(view, call) : view, call, origin)
        let (rows, columns) = (isJoined || axes.contains(2), isJoined || axes.contains(3))
        let size = draft.shape(input)
        let kernel = Operation.Extent(rows ? size.height : 1, columns ? size.width : 1)
        let operation: Operation =
            rows && columns && kind == .average
            ? .adaptiveAverage(.one) : .pool(.init(kind, kernel: kernel, stride: .one))
        let node = try draft.add(operation, [input], origin)
        var dimensions = view.dimensions
        for axis in axes { dimensions[axis - 1] = 1 }
        var reduced = Onnx.View(node, dimensions)
        if try call.integer("keepdims", default: 1) == 0 {
            reduced.axes = reduced.axes.indices.filter { !axes.contains($0 + 1) }.map { reduced.axes[$0] }
        }
        return reduced
    }

    /// Rows and columns that were joined into one dimension, `[channels, pixels]`, restored.
    private mutating func separated(_ view: Onnx.View, _ call: Call) throws -> Onnx.View {
        let shape = draft.shape(view.node)
        guard view.dimensions == [shape.channels, shape.pixels] else {
            throw call.failure("it reduces \(view.dimensions), which are not the channels and pixels of \(shape)")
        }
        return try reshape(view, shape.dimensions, call)
    }

    /// A sum over rows, columns or both: the mean times their number.
    private mutating func sum(_ call: Call) throws -> Onnx.View {
        let before = try call.view(0).count
        var mean = try reduce(call, .average)
        mean.node = try draft.addAffine([Double(before / max(mean.count, 1))], [0], mean.node, origin(call))
        return mean
    }
}
