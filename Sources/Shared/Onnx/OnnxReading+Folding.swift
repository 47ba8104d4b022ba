import Foundation

/// Values that do not depend on the image are calculated while reading.
extension Onnx.Reading {
    /// Evaluates an operator of constants.
    mutating func folded(_ call: Call) throws -> [Value] {
        switch call.node.type {
        case "Constant": return [.constant(try literal(call))]
        case "ConstantOfShape": return [.constant(try filled(call))]
        case "Range": return [.constant(try range(call))]
        case "Split", "SplitToSequence": return try splitConstant(call)
        case "SequenceAt":
            guard case .sequence(let values) = call.input(0), let index = try call.optionalIntegers(1)?.first,
                (-values.count..<values.count).contains(index)
            else { throw call.failure("it takes an element that its sequence does not have") }
            return [values[index < 0 ? index + values.count : index]]
        default: break
        }
        if let constant = try rearranged(call) ?? calculated(call) { return [.constant(constant)] }
        throw call.unsupported()
    }

    private mutating func literal(_ call: Call) throws -> Onnx.Constant {
        for (name, attribute) in call.attributes {
            switch (name, attribute) {
            case ("value", .tensor(let stored)): return try constant(stored)
            case ("value_float", .float(let float)): return Onnx.Constant([], .floats([float]))
            case ("value_floats", .floats(let floats)): return Onnx.Constant([floats.count], .floats(floats))
            case ("value_int", .integer(let integer)): return Onnx.Constant([], .integers([integer]))
            case ("value_ints", .integers(let integers)): return Onnx.Constant(vector: integers)
            default: continue
            }
        }
        throw call.failure("its value is no tensor of numbers")
    }

    private mutating func filled(_ call: Call) throws -> Onnx.Constant {
        guard let shape = try call.optionalIntegers(0) else { throw call.failure("its shape is missing") }
        var value = Onnx.Constant([1], .floats([0]))
        if case .tensor(let stored) = call.attributes["value"] { value = try constant(stored) }
        guard value.count == 1 else { throw call.failure("its value is not one number") }
        value.dimensions = Array(repeating: 1, count: min(shape.count, 1))
        guard let filled = try value.broadcast(to: shape, &budget) else { throw call.failure("its shape is \(shape)") }
        return filled
    }

    private mutating func range(_ call: Call) throws -> Onnx.Constant {
        let bounds = try (0..<3).map { try call.constant($0) }
        guard let start = bounds[0].uniform, let limit = bounds[1].uniform, let step = bounds[2].uniform, step != 0,
            case let count = ((limit - start) / step).rounded(.up), count <= Double(Onnx.StoredTensor.integersMax)
        else { throw call.failure("its bounds are no numbers, or too far apart") }
        let steps = 0..<max(Int(count), 0)
        try budget.take(8 * steps.count)
        if bounds[0].integers == nil {
            return Onnx.Constant([steps.count], .floats(steps.map { Float(start + Double($0) * step) }))
        }
        return Onnx.Constant(vector: steps.map { Int(start) + $0 * Int(step) })
    }

    private mutating func splitConstant(_ call: Call) throws -> [Value] {
        let whole = try call.constant(0)
        let axis = try call.axis(call.integer("axis", default: 0), rank: whole.dimensions.count)
        let extent = whole.dimensions[axis]
        var sizes = try call.integers("split", orInput: 1)
        let isSequence = call.node.type == "SplitToSequence"
        if sizes == nil || (isSequence && call.input(1)?.constant?.dimensions.isEmpty == true) {
            let parts = isSequence ? extent : try call.integer("num_outputs", default: call.node.outputs.count)
            let size = sizes?.first ?? (extent + parts - 1) / max(parts, 1)
            guard size > 0 else { throw call.failure("it splits into parts of \(size)") }
            sizes = stride(from: 0, to: extent, by: size).map { min(size, extent - $0) }
        }
        guard let sizes, sizes.allSatisfy({ (0...extent).contains($0) }), sizes.reduce(0, +) == extent else {
            throw call.failure("it splits \(extent) otherwise")
        }
        var start = 0
        let values = try sizes.map { size -> Value in
            defer { start += size }
            let strides = Onnx.Constant.strides(of: whole.dimensions)
            var dimensions = whole.dimensions
            dimensions[axis] = size
            return .constant(try whole.strided(dimensions, strides, offset: start * strides[axis], &budget))
        }
        return isSequence ? [.sequence(values)] : values
    }

    // MARK: Rearranged

    /// Operators that keep the elements; nil for others. A weight keeps its name.
    private mutating func rearranged(_ call: Call) throws -> Onnx.Constant? {
        guard case .constant(var constant) = call.input(0) else { return nil }
        let rank = constant.dimensions.count
        switch call.node.type {
        case "Cast": return try cast(constant, to: call.integer("to", default: 1), call)
        case "CastLike":
            // 1 is the type of floats, 7 of integers; what depends on the image is floats.
            let isInteger = call.input(1)?.constant?.integers != nil
            return try cast(constant, to: isInteger ? 7 : 1, call)
        case "Shape":
            let whole = constant.dimensions
            func bound(_ name: String, _ value: Int) throws -> Int {
                let place = try call.integer(name, default: value)
                return min(max(place < 0 ? place + rank : place, 0), rank)
            }
            let (start, end) = (try bound("start", 0), try bound("end", rank))
            return Onnx.Constant(vector: Array(whole[start..<max(start, end)]))
        case "Size": return Onnx.Constant([], .integers([constant.count]))
        case "Reshape":
            guard var target = try call.integers("shape", orInput: 1) else {
                throw call.failure("its shape is missing")
            }
            if try call.integer("allowzero", default: 0) == 0 {
                for index in target.indices where target[index] == 0 && index < rank {
                    target[index] = constant.dimensions[index]
                }
            }
            if let open = target.firstIndex(of: -1) {
                target[open] = 1
                let known = try Onnx.Constant.count(of: target)
                target[open] = known == 0 ? 0 : constant.count / known
            }
            return try checked(constant.reshaped(target), call)
        case "Flatten":
            let axis = try call.integer("axis", default: 1)
            let cut = min(max(axis < 0 ? axis + rank : axis, 0), rank)
            let parts = [constant.dimensions[..<cut], constant.dimensions[cut...]].map { $0.reduce(1, *) }
            return try checked(constant.reshaped(parts), call)
        case "Squeeze":
            let axes = try call.integers("axes", orInput: 1)?.map { try call.axis($0, rank: rank) }
            let dimensions = constant.dimensions
            let kept = dimensions.indices.filter { !(axes?.contains($0) ?? (dimensions[$0] == 1)) }
            return try checked(constant.reshaped(kept.map { dimensions[$0] }), call)
        case "Unsqueeze":
            guard let given = try call.integers("axes", orInput: 1) else { throw call.failure("its axes are missing") }
            let whole = rank + given.count
            guard whole <= Onnx.StoredTensor.dimensionsMax else { throw call.failure("it makes \(whole) dimensions") }
            var dimensions = constant.dimensions
            for axis in try given.map({ try call.axis($0, rank: whole) }).sorted() {
                dimensions.insert(1, at: min(axis, dimensions.count))
            }
            return constant.reshaped(dimensions)
        case "Transpose":
            let order = try call.integers("perm") ?? (0..<rank).reversed()
            guard order.sorted() == Array(0..<rank) else { throw call.failure("its perm is \(order)") }
            let name = constant.name
            constant = try constant.transposed(order, &budget)
            constant.name = name
            return constant
        case "Expand":
            guard let shape = try call.optionalIntegers(1),
                let target = Onnx.Constant.broadcast(constant.dimensions, shape)
            else { throw call.failure("its shape does not fit") }
            return try checked(constant.broadcast(to: target, &budget), call)
        case "Gather": return try gathered(constant, call)
        case "Concat": return try concatenated(call)
        case "Slice": return try sliced(constant, call)
        default: return nil
        }
    }

    private func checked(_ constant: Onnx.Constant?, _ call: Call) throws -> Onnx.Constant {
        guard let constant else { throw call.failure("the shapes of its constants do not fit") }
        return constant
    }

    private mutating func cast(_ constant: Onnx.Constant, to type: Int, _ call: Call) throws -> Onnx.Constant {
        guard let element = Onnx.Element(type) else { throw call.failure("it casts to type \(type)") }
        var cast = constant
        switch constant.elements {
        case .floats(let floats) where !element.isFloating:
            try budget.take(8 * floats.count)
            cast.elements = .integers(
                try floats.map { float in
                    // 9 is the type of truth values.
                    if type == 9 { return float == 0 ? 0 : 1 }
                    guard let integer = Int(exactly: float.rounded(.towardZero)) else {
                        throw call.failure("it casts \(float) to an integer")
                    }
                    return integer
                })
        case .integers(let integers) where element.isFloating:
            try budget.take(4 * integers.count)
            cast.elements = .floats(integers.map(Float.init))
        case .integers(let integers) where type == 9: cast.elements = .integers(integers.map { $0 == 0 ? 0 : 1 })
        default: break
        }
        return cast
    }

    private mutating func gathered(_ constant: Onnx.Constant, _ call: Call) throws -> Onnx.Constant {
        let axis = try call.axis(call.integer("axis", default: 0), rank: constant.dimensions.count)
        let indices = try call.constant(1)
        let extent = constant.dimensions[axis]
        guard let places = indices.integers, places.allSatisfy({ (-extent..<extent).contains($0) }),
            constant.dimensions.count + indices.dimensions.count <= Onnx.StoredTensor.dimensionsMax
        else { throw call.failure("it gathers what its constant does not have") }
        let dimensions =
            constant.dimensions[..<axis] + indices.dimensions + constant.dimensions[(axis + 1)...]
        let inner = constant.dimensions[(axis + 1)...].reduce(1, *)
        let count = try Onnx.Constant.count(of: Array(dimensions))
        try budget.take(8 * count)
        let sources = (0..<count).map { place in
            let (outer, rest) = (place / inner / places.count, place / inner % places.count)
            let index = places[rest] < 0 ? places[rest] + extent : places[rest]
            return (outer * extent + index) * inner + place % inner
        }
        switch constant.elements {
        case .floats(let floats): return Onnx.Constant(Array(dimensions), .floats(sources.map { floats[$0] }))
        case .integers(let all): return Onnx.Constant(Array(dimensions), .integers(sources.map { all[$0] }))
        }
    }

    private mutating func concatenated(_ call: Call) throws -> Onnx.Constant {
        let parts = try call.inputs.indices.map { try call.constant($0) }
        let rank = parts[0].dimensions.count
        let axis = try call.axis(call.integer("axis", default: 0), rank: rank)
        var dimensions = parts[0].dimensions
        dimensions[axis] = parts.reduce(0) { $0 + ($1.dimensions.count == rank ? $1.dimensions[axis] : 0) }
        for part in parts {
            var other = part.dimensions
            guard other.count == rank else { throw call.failure("its constants have different ranks") }
            other[axis] = dimensions[axis]
            guard other == dimensions else { throw call.failure("the shapes of its constants do not fit") }
        }
        try budget.take(8 * Onnx.Constant.count(of: dimensions))
        let outer = dimensions[..<axis].reduce(1, *)
        func joined<Number>(_ lists: [[Number]]) -> [Number] {
            (0..<outer).flatMap { block in
                lists.flatMap { list in list[block * list.count / outer..<(block + 1) * list.count / outer] }
            }
        }
        let integers = parts.compactMap(\.integers)
        return integers.count == parts.count
            ? Onnx.Constant(dimensions, .integers(joined(integers)))
            : Onnx.Constant(dimensions, .floats(joined(parts.map(\.floats))))
    }

    private mutating func sliced(_ constant: Onnx.Constant, _ call: Call) throws -> Onnx.Constant {
        let rank = constant.dimensions.count
        var dimensions = constant.dimensions
        var strides = Onnx.Constant.strides(of: dimensions)
        var offset = 0
        for (axis, start, end, step) in try call.slices(rank: rank) {
            let places = try Self.places(
                start, end, step, extent: constant.dimensions[axis], call)
            offset += places.start * strides[axis]
            strides[axis] *= places.step
            dimensions[axis] = places.count
        }
        return try constant.strided(dimensions, strides, offset: offset, &budget)
    }

    // MARK: Calculated

    /// Operators that calculate new elements; nil for others.
    private mutating func calculated(_ call: Call) throws -> Onnx.Constant? {
        if case .constant(let constant) = call.input(0), call.inputs.count == 1,
            let function = Self.functions[call.node.type]
        {
            return try map(constant, function.float, function.integer)
        }
        switch call.node.type {
        case "Where":
            let condition = try call.constant(0)
            let chosen = [try call.constant(1), try call.constant(2)]
            let both = try binary(chosen[0], chosen[1], call, float: { a, _ in a }, integer: { a, _ in a })
            let other = try binary(chosen[0], chosen[1], call, float: { _, b in b }, integer: { _, b in b })
            guard let shape = Onnx.Constant.broadcast(condition.dimensions, both.dimensions),
                let isFirst = try condition.broadcast(to: shape, &budget),
                let first = try both.broadcast(to: shape, &budget), let second = try other.broadcast(to: shape, &budget)
            else { throw call.failure("the shapes of its constants do not fit") }
            let choice = isFirst.floats
            if let first = first.integers, let second = second.integers {
                return Onnx.Constant(shape, .integers(choice.indices.map { choice[$0] != 0 ? first[$0] : second[$0] }))
            }
            let (firsts, seconds) = (first.floats, second.floats)
            return Onnx.Constant(shape, .floats(choice.indices.map { choice[$0] != 0 ? firsts[$0] : seconds[$0] }))
        case "ReduceProd", "ReduceSum":
            let constant = try call.constant(0)
            guard call.inputs.count < 2, try call.integers("axes") == nil, let integers = constant.integers else {
                throw call.unsupported()
            }
            let result = call.node.type == "ReduceProd" ? integers.reduce(1, &*) : integers.reduce(0, &+)
            let keeps = try call.integer("keepdims", default: 1) != 0
            return Onnx.Constant(keeps ? constant.dimensions.map { _ in 1 } : [], .integers([result]))
        default: break
        }
        guard let function = Self.binaries[call.node.type] else { return nil }
        var result = try call.constant(0)
        for index in call.inputs.indices.dropFirst() {
            let second = try call.constant(index)
            if ["Div", "Mod"].contains(call.node.type), let integers = second.integers,
                integers.contains(where: { $0 == 0 })
            {
                throw call.failure("it divides by zero")
            }
            result = try binary(result, second, call, float: function.float, integer: function.integer)
        }
        if Self.comparisons.contains(call.node.type), case .floats(let floats) = result.elements {
            result.elements = .integers(floats.map { $0 == 0 ? 0 : 1 })
        }
        return result
    }

    private mutating func map(
        _ constant: Onnx.Constant, _ float: (Float) -> Float, _ integer: (Int) -> Int
    ) throws -> Onnx.Constant {
        try budget.take(constant.elementBytes * constant.count)
        switch constant.elements {
        case .floats(let floats): return Onnx.Constant(constant.dimensions, .floats(floats.map(float)))
        case .integers(let integers): return Onnx.Constant(constant.dimensions, .integers(integers.map(integer)))
        }
    }

    private mutating func binary(
        _ first: Onnx.Constant, _ second: Onnx.Constant, _ call: Call, float: (Float, Float) -> Float,
        integer: (Int, Int) -> Int
    ) throws -> Onnx.Constant {
        guard let shape = Onnx.Constant.broadcast(first.dimensions, second.dimensions),
            let a = try first.broadcast(to: shape, &budget), let b = try second.broadcast(to: shape, &budget)
        else { throw call.failure("the shapes of its constants do not fit") }
        try budget.take(8 * a.count)
        if let a = a.integers, let b = b.integers {
            return Onnx.Constant(shape, .integers(zip(a, b).map(integer)))
        }
        return Onnx.Constant(shape, .floats(zip(a.floats, b.floats).map(float)))
    }

    private typealias Unary = (float: @Sendable (Float) -> Float, integer: @Sendable (Int) -> Int)
    private typealias Binary = (float: @Sendable (Float, Float) -> Float, integer: @Sendable (Int, Int) -> Int)

    private static let functions: [String: Unary] = [
        "Floor": ({ $0.rounded(.down) }, { $0 }),
        "Ceil": ({ $0.rounded(.up) }, { $0 }),
        "Round": ({ $0.rounded(.toNearestOrEven) }, { $0 }),
        "Abs": ({ abs($0) }, { Int(truncatingIfNeeded: $0.magnitude) }),
        "Neg": ({ -$0 }, { 0 &- $0 }),
        "Sign": ({ $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }, { $0.signum() }),
        "Sqrt": ({ $0.squareRoot() }, { Int(Double($0).squareRoot()) }),
        "Reciprocal": ({ 1 / $0 }, { _ in 0 }),
        "Exp": ({ exp($0) }, { _ in 0 }),
        "Not": ({ $0 == 0 ? 1 : 0 }, { $0 == 0 ? 1 : 0 }),
    ]

    private static let binaries: [String: Binary] = [
        "Add": ({ $0 + $1 }, { $0 &+ $1 }),
        "Sub": ({ $0 - $1 }, { $0 &- $1 }),
        "Mul": ({ $0 * $1 }, { $0 &* $1 }),
        "Div": ({ $0 / $1 }, { $0.dividedReportingOverflow(by: $1).partialValue }),
        "Mod": (
            { $0 - $1 * ($0 / $1).rounded(.down) },
            { a, b in
                let rest = a.remainderReportingOverflow(dividingBy: b).partialValue
                return rest != 0 && (rest < 0) != (b < 0) ? rest &+ b : rest
            }
        ),
        "Pow": ({ pow($0, $1) }, { Int(exactly: pow(Double($0), Double($1)).rounded()) ?? 0 }),
        "Min": ({ min($0, $1) }, { min($0, $1) }),
        "Max": ({ max($0, $1) }, { max($0, $1) }),
        "And": ({ $0 != 0 && $1 != 0 ? 1 : 0 }, { $0 != 0 && $1 != 0 ? 1 : 0 }),
        "Or": ({ $0 != 0 || $1 != 0 ? 1 : 0 }, { $0 != 0 || $1 != 0 ? 1 : 0 }),
        "Equal": ({ $0 == $1 ? 1 : 0 }, { $0 == $1 ? 1 : 0 }),
        "Less": ({ $0 < $1 ? 1 : 0 }, { $0 < $1 ? 1 : 0 }),
        "LessOrEqual": ({ $0 <= $1 ? 1 : 0 }, { $0 <= $1 ? 1 : 0 }),
        "Greater": ({ $0 > $1 ? 1 : 0 }, { $0 > $1 ? 1 : 0 }),
        "GreaterOrEqual": ({ $0 >= $1 ? 1 : 0 }, { $0 >= $1 ? 1 : 0 }),
    ]

    private static let comparisons: Set = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or"]
}

extension Onnx.Reading.Value {
    fileprivate var constant: Onnx.Constant? { if case .constant(let constant) = self { constant } else { nil } }
}
