/// Adaptive average pooling that an exporter took apart.
extension Onnx.Reading {
    /// Bytes per place of a resampling, with a few terms.
    private static let placeBytes = 128

    /// Operators within such a pooling, and readers of its result; nil for any other call.
    mutating func resampled(_ call: Call) throws -> [Value]? {
        if let begun = try resamplingBegun(call) { return [.resampling(begun)] }
        guard call.inputs.contains(where: { if case .resampling = $0 { true } else { false } }) else { return nil }
        if let value = try resampling(call) { return [.resampling(value)] }
        return try results(ofPooling: call)
    }

    /// It starts with transposing the batch to the end, or with the first product with a matrix of means.
    private mutating func resamplingBegun(_ call: Call) throws -> Onnx.Resampling? {
        if let (input, axis, weights) = try productOfMeans(call) {
            guard case .view(let view) = call.input(input), view.axes.count == 3 else { return nil }
            let node = try image(view, call, origin(call))
            let shape = draft.shape(node)
            try budget.take(Self.placeBytes * shape.pixels)
            return try mixed(Onnx.Resampling(node, shape, order: [0, 1, 2, 3]), weights, axis: axis)
        }
        guard call.node.type == "Transpose", case .view(let view) = call.input(0), view.axes.count == 3,
            let order = try call.integers("perm"), order.sorted() == Array(0..<4), order[0] != 0
        else { return nil }
        let node = try image(view, call, origin(call))
        let shape = draft.shape(node)
        try budget.take(Self.placeBytes * shape.pixels)
        return Onnx.Resampling(node, shape, order: order)
    }

    private mutating func resampling(_ call: Call) throws -> Onnx.Resampling? {
        switch call.node.type {
        case "Transpose":
            guard case .resampling(var value) = call.input(0), let order = try call.integers("perm"),
                order.sorted() == Array(value.axes.indices)
            else { return nil }
            try budget.take(Self.placeBytes * value.sums.count)
            value.transpose(order)
            return value
        case "GatherND": return try gatheredPlaces(call)
        case "Gather": return try gatheredPlace(call)
        case "Where": return try masked(call)
        case "Add": return try added(call)
        case "Div", "Mul": return try scaled(call)
        case "ReduceMean": return try averaged(call)
        case "MatMul":
            guard let (input, axis, weights) = try productOfMeans(call),
                case .resampling(let value) = call.input(input),
                value.axes.count == 4
            else { return nil }
            return try mixed(value, weights, axis: axis)
        default: return nil
        }
    }

    private mutating func gatheredPlaces(_ call: Call) throws -> Onnx.Resampling? {
        guard case .resampling(var value) = call.input(0), let indices = try call.optionalConstant(1),
            let numbers = indices.integers, let depth = indices.dimensions.last, depth > 0, depth <= value.axes.count,
            try call.integer("batch_dims", default: 0) == 0, !numbers.isEmpty
        else { return nil }
        let extents = value.axes[..<depth].compactMap(\.extent)
        guard extents.count == depth else { throw call.failure("it gathers images or channels") }
        var places: [Int] = []
        for start in stride(from: 0, to: numbers.count, by: depth) {
            var place = 0
            for (extent, number) in zip(extents, numbers[start..<start + depth]) {
                guard (-extent..<extent).contains(number) else {
                    throw call.failure("it gathers place \(number) of \(extent)")
                }
                place = place * extent + (number < 0 ? number + extent : number)
            }
            places.append(place)
        }
        let inner = value.sums.count / extents.reduce(1, *)
        try budget.take(Self.placeBytes * places.count * inner)
        value.gather(places, Array(indices.dimensions.dropLast()), dimensions: depth)
        return value
    }

    private mutating func gatheredPlace(_ call: Call) throws -> Onnx.Resampling? {
        guard case .resampling(var value) = call.input(0), let index = try call.optionalConstant(1),
            index.dimensions.isEmpty, let place = index.integers?.first
        else { return nil }
        let axis = try call.axis(call.integer("axis", default: 0), rank: value.axes.count)
        guard let extent = value.axes[axis].extent, (-extent..<extent).contains(place) else {
            throw call.failure("it gathers images or channels, or place \(place) of none")
        }
        try budget.take(Self.placeBytes * value.sums.count / extent)
        value.select(place < 0 ? place + extent : place, axis: axis)
        return value
    }

    /// Zeros in some places.
    private mutating func masked(_ call: Call) throws -> Onnx.Resampling? {
        guard case .constant(let condition) = call.input(0) else { return nil }
        let (zero, kept): (Value?, Value?) = (call.input(1), call.input(2))
        guard case .constant(let other) = zero, other.uniform == 0, case .resampling(var value) = kept,
            let mask = try condition.broadcast(to: value.spread, &budget)
        else { return nil }
        try budget.take(Self.placeBytes * value.sums.count)
        for (place, isZero) in mask.floats.enumerated() where isZero != 0 { value.sums[place] = [] }
        return value
    }

    private mutating func added(_ call: Call) throws -> Onnx.Resampling? {
        guard case .resampling(var value) = call.input(0), case .resampling(let other) = call.input(1),
            value.node == other.node, value.axes == other.axes
        else { return nil }
        let terms = other.sums.reduce(0) { $0 + $1.count }
        try budget.take(Self.placeBytes * value.sums.count + MemoryLayout<Onnx.Resampling.Term>.stride * 4 * terms)
        for place in value.sums.indices { value.sums[place] += other.sums[place] }
        return value
    }

    private mutating func scaled(_ call: Call) throws -> Onnx.Resampling? {
        guard case .resampling(var value) = call.input(0), case .constant(let constant) = call.input(1),
            let factors = try constant.broadcast(to: value.spread, &budget)
        else { return nil }
        let terms = value.sums.reduce(0) { $0 + $1.count }
        try budget.take(Self.placeBytes * value.sums.count + MemoryLayout<Onnx.Resampling.Term>.stride * terms)
        let isQuotient = call.node.type == "Div"
        for (place, factor) in factors.floats.enumerated() {
            let factor = isQuotient ? 1 / Double(factor) : Double(factor)
            for term in value.sums[place].indices { value.sums[place][term].weight *= factor }
        }
        return value
    }

    /// Means over some dimensions of places.
    private mutating func averaged(_ call: Call) throws -> Onnx.Resampling? {
        guard case .resampling(var value) = call.input(0), let given = try call.integers("axes", orInput: 1),
            try call.integer("keepdims", default: 1) == 0
        else { return nil }
        let axes = Set(try given.map { try call.axis($0, rank: value.axes.count) })
        guard axes.allSatisfy({ value.axes[$0].extent ?? 0 > 0 }) else { return nil }
        for axis in axes.sorted(by: >) {
            let terms = value.sums.reduce(0) { $0 + $1.count }
            try budget.take(Self.placeBytes * value.sums.count + MemoryLayout<Onnx.Resampling.Term>.stride * 4 * terms)
            value.average(axis: axis)
        }
        return value
    }

    /// Which input a product takes weighted means of, over rows (2) or columns (3), and the weights of each mean; nil
    /// for other products.
    private mutating func productOfMeans(
        _ call: Call
    ) throws -> (input: Int, axis: Int, weights: [[Double]])? {
        guard call.node.type == "MatMul", call.inputs.count == 2 else { return nil }
        let matrix: Onnx.Constant
        let isRight: Bool
        if case .constant(let constant) = call.inputs[1] {
            (matrix, isRight) = (constant, true)
        } else if case .constant(let constant) = call.inputs[0] {
            (matrix, isRight) = (constant, false)
        } else {
            return nil
        }
        let input = isRight ? 0 : 1
        let isImage =
            switch call.inputs[input] {
            case .view(let view): view.axes.count == 3
            case .resampling(let value): value.axes.count == 4
            default: false
            }
        guard isImage, matrix.dimensions.count == 2, matrix.count > 0 else { return nil }
        try budget.take(MemoryLayout<Double>.stride * matrix.count)
        let (rows, columns) = (matrix.dimensions[0], matrix.dimensions[1])
        let values = matrix.floats
        let weights = (0..<(isRight ? columns : rows)).map { mean in
            (0..<(isRight ? rows : columns)).map { Double(values[isRight ? $0 * columns + mean : mean * columns + $0]) }
        }
        guard weights.allSatisfy({ $0.allSatisfy { $0 >= 0 } && abs($0.reduce(0, +) - 1) < 1e-4 }) else { return nil }
        return (input, isRight ? 3 : 2, weights)
    }

    private mutating func mixed(
        _ value: Onnx.Resampling, _ weights: [[Double]], axis: Int
    ) throws -> Onnx.Resampling? {
        guard let extent = value.axes[axis].extent, extent == weights[0].count else { return nil }
        let terms = value.sums.reduce(0) { $0 + $1.count }
        // Every place is in some means, and each new place has its own list.
        let uses = (0..<extent).map { place in weights.count { $0[place] != 0 } }.max() ?? 0
        try budget.take(
            Self.placeBytes * (value.sums.count + value.sums.count / extent * weights.count)
                + MemoryLayout<Onnx.Resampling.Term>.stride * 2 * terms * uses)
        var value = value
        value.mix(weights, axis: axis)
        return value
    }

    /// What an operator makes of the completed pooling.
    private mutating func results(ofPooling call: Call) throws -> [Value] {
        var whole = call
        for (index, input) in call.inputs.enumerated() {
            guard case .resampling(let value) = input else { continue }
            let shape = draft.shape(value.node)
            guard let size = value.adaptiveAverage(of: shape) else {
                throw call.failure(
                    "it reads pixels gathered in an order that is not an adaptive average pooling")
            }
            let origin = Onnx.Draft.Origin(label: call.label, name: "adaptive_average")
            let isSame = size.height == shape.height && size.width == shape.width
            let node = try isSame ? value.node : draft.add(.adaptiveAverage(size), [value.node], origin)
            whole.inputs[index] = .view(Onnx.View(node, draft.shape(node).dimensions))
        }
        return try results(ofOperator: whole)
    }
}
