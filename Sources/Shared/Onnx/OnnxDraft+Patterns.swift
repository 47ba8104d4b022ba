/// Exporters write some activations as several nodes. Each function here adds an operation and, if it completes such a
/// pattern, adds the whole activation instead; the parts are dropped when nothing else reads them.
extension Onnx.Draft {
    /// `scale · x + shift`, with one number each or one per channel.
    mutating func addAffine(_ scale: [Double], _ shift: [Double], _ input: Int, _ origin: Origin) throws -> Int {
        if Self.isAll(scale, 1), Self.isAll(shift, 0) { return input }
        if case .affine(let earlierScale, let earlierShift) = nodes[input].kind {
            return try addAffine(
                Self.combine(scale, earlierScale, *),
                Self.combine(Self.combine(scale, earlierShift, *), shift, +), nodes[input].inputs[0], origin)
        }
        if Self.isAll(scale, 1), let withBias = try addBias(shift, to: input) { return withBias }
        // min(max(a·x + b, 0), h) / h is a hard sigmoid.
        if Self.isAll(shift, 0), scale.count == 1, case .activation(.clip(0, let highest)) = operation(input),
            Self.isClose(scale[0] * highest, 1),
            let (base, slope, offset) = uniformAffine(nodes[input].inputs[0])
        {
            return try add(.hardSigmoid(slope: slope / highest, offset: offset / highest), base, origin)
        }
        return try add(part: .affine(scale: scale, shift: shift), input, origin)
    }

    /// A layer with the bias added to its output, or nil if the input is not a layer without one.
    private mutating func addBias(_ bias: [Double], to input: Int) throws -> Int? {
        let layer = nodes[input]
        guard bias.count == layer.shape.channels, bias.count > 1 else { return nil }
        var parameters = layer.parameters
        parameters[.bias] = Tensor(shape: [bias.count], values: bias.map(Float.init))
        switch operation(input) {
        case .linear(var linear) where !linear.hasBias:
            linear.hasBias = true
            return try add(.linear(linear), layer.inputs, layer.origin, parameters)
        case .convolution(var convolution) where !convolution.hasBias:
            convolution.hasBias = true
            return try add(.convolution(convolution), layer.inputs, layer.origin, parameters)
        default: return nil
        }
    }

    /// `min(max(x, lowest), highest)`; merges with an earlier one.
    mutating func addClip(_ lowest: Double, _ highest: Double, _ input: Int, _ origin: Origin) throws -> Int {
        let before = nodes[input].inputs
        switch operation(input) {
        case .activation(.relu):
            return try addClip(max(lowest, min(0, highest)), max(highest, 0), before[0], origin)
        case .activation(.clip(let earlierLowest, let earlierHighest)):
            return try addClip(
                min(max(earlierLowest, lowest), highest), min(max(earlierHighest, lowest), highest), before[0], origin)
        default: break
        }
        if lowest == 0, highest == .infinity { return try add(.relu, input, origin) }
        if lowest == -.infinity, highest == .infinity { return input }
        if lowest == 0, highest == 1, let (base, slope, offset) = uniformAffine(input) {
            return try add(.hardSigmoid(slope: slope, offset: offset), base, origin)
        }
        return try add(.clip(lowest: lowest, highest: highest), input, origin)
    }

    /// The product of two, which may be an activation: `x · gate(x)`.
    mutating func addProduct(_ first: Int, _ second: Int, _ origin: Origin) throws -> Int {
        for (value, gate) in [(first, second), (second, first)] {
            // The gate's argument: the value itself, or the value without a factor.
            var candidates: [(x: Int, factor: Double)] = [(value, 1)]
            if case .affine(let scale, let shift) = nodes[value].kind, scale.count == 1, shift == [0] {
                candidates.append((nodes[value].inputs[0], scale[0]))
            }
            for (x, factor) in candidates {
                guard let (activation, gateFactor) = activation(of: x, gatedBy: gate) else { continue }
                let whole = try add(activation, x, origin)
                return try addAffine([factor * gateFactor], [0], whole, origin)
            }
        }
        return try add(.multiply, [first, second], origin)
    }

    /// The activation that `x` times the gate is, and the extra factor.
    private func activation(of x: Int, gatedBy gate: Int) -> (Operation.Activation, factor: Double)? {
        let (base, scale, shift) = form(gate)
        guard scale.count == 1, shift.count == 1, let argument = nodes[base].inputs.first else { return nil }
        let (scaling, shifting) = (scale[0], shift[0])
        switch nodes[base].kind {
        case .operation(.activation(.sigmoid)) where shifting == 0 && isAffine(argument, 1, 0, of: x):
            return (.silu, scaling)
        case .operation(.activation(.hardSigmoid(let slope, let offset)))
        where shifting == 0 && Self.isClose(slope, 1 / 6) && Self.isClose(offset, 0.5)
            && isAffine(argument, 1, 0, of: x):
            return (.hardSwish, scaling)
        case .operation(.activation(.clip(0, 6))) where shifting == 0 && isAffine(argument, 1, 3, of: x):
            return (.hardSwish, 6 * scaling)
        case .erf where Self.isClose(scaling, shifting) && isAffine(argument, 0.5.squareRoot(), 0, of: x):
            return (.gelu, 2 * scaling)
        case .operation(.activation(.tanh)) where Self.isClose(scaling, shifting) && isCubicOfGELU(argument, of: x):
            return (.geluTanh, 2 * scaling)
        default: return nil
        }
    }

    /// Whether a node is `√(2/π) · (x + 0.044715 x³)`.
    private func isCubicOfGELU(_ node: Int, of x: Int) -> Bool {
        let (sum, scale, shift) = form(node)
        guard operation(sum) == .add, scale.count == 1, shift == [0], nodes[sum].inputs.count == 2,
            Self.isClose(scale[0], (2 / Double.pi).squareRoot())
        else { return false }
        let inputs = nodes[sum].inputs
        return [(inputs[0], inputs[1]), (inputs[1], inputs[0])].contains { plain, cubic in
            let (cube, factor, shift) = form(cubic)
            return isAffine(plain, 1, 0, of: x) && isCube(cube, of: x) && factor.count == 1 && shift == [0]
                && Self.isClose(factor[0], 0.044715)
        }
    }

    private func isCube(_ node: Int, of x: Int) -> Bool {
        switch nodes[node].kind {
        case .power(3): return nodes[node].inputs[0] == x
        case .operation(.multiply):
            let inputs = nodes[node].inputs
            return [(inputs[0], inputs[1]), (inputs[1], inputs[0])].contains { square, factor in
                factor == x && isSquare(square, of: x)
            }
        default: return false
        }
    }

    private func isSquare(_ node: Int, of x: Int) -> Bool {
        switch nodes[node].kind {
        case .power(2): nodes[node].inputs[0] == x
        case .operation(.multiply): nodes[node].inputs == [x, x]
        default: false
        }
    }

    // MARK: Parts of channels

    /// A selection of channels; merges with an earlier selection.
    mutating func addSelect(_ channels: [Int?], _ input: Int, _ origin: Origin) throws -> Int {
        guard case .select(let earlier) = operation(input) else { return try add(.select(channels), [input], origin) }
        let composed = channels.map { channel in channel.flatMap { earlier[$0] } }
        return try add(.select(composed), nodes[input].inputs, origin)
    }

    /// A part of each channel; merges with an earlier crop.
    mutating func addCrop(_ crop: Operation.Crop, _ input: Int, _ origin: Origin) throws -> Int {
        guard case .crop(let earlier) = operation(input) else { return try add(.crop(crop), [input], origin) }
        let composed = Operation.Crop(
            top: earlier.top + crop.top * earlier.step.height, left: earlier.left + crop.left * earlier.step.width,
            step: .init(earlier.step.height * crop.step.height, earlier.step.width * crop.step.width), size: crop.size)
        return try add(.crop(composed), nodes[input].inputs, origin)
    }

    // MARK: Affine forms

    /// A node as `scale · base + shift`.
    private func form(_ node: Int) -> (base: Int, scale: [Double], shift: [Double]) {
        if case .affine(let scale, let shift) = nodes[node].kind { return (nodes[node].inputs[0], scale, shift) }
        return (node, [1], [0])
    }

    /// For a node that scales and shifts all channels equally: its input, scale and shift.
    private func uniformAffine(_ node: Int) -> (base: Int, scale: Double, shift: Double)? {
        guard case .affine(let scale, let shift) = nodes[node].kind, scale.count == 1, shift.count == 1 else {
            return nil
        }
        return (nodes[node].inputs[0], scale[0], shift[0])
    }

    /// Whether a node is `scale · x + shift`.
    private func isAffine(_ node: Int, _ scale: Double, _ shift: Double, of x: Int) -> Bool {
        let (base, nodeScale, nodeShift) = form(node)
        let (baseOfX, scaleOfX, shiftOfX) = form(x)
        guard base == baseOfX else { return false }
        return Self.areClose(nodeScale, Self.combine(scaleOfX, [scale], *))
            && Self.areClose(nodeShift, Self.combine(Self.combine(shiftOfX, [scale], *), [shift], +))
    }

    /// Per-channel numbers from two lists, each of one number or one per channel.
    static func combine(_ first: [Double], _ second: [Double], _ combine: (Double, Double) -> Double) -> [Double] {
        if first.count == 1 { return second.map { combine(first[0], $0) } }
        if second.count == 1 { return first.map { combine($0, second[0]) } }
        return zip(first, second).map(combine)
    }

    private static func isAll(_ numbers: [Double], _ number: Double) -> Bool { numbers.allSatisfy { $0 == number } }

    private static func areClose(_ first: [Double], _ second: [Double]) -> Bool {
        combine(first, second) { isClose($0, $1) ? 1 : 0 }.allSatisfy { $0 == 1 }
    }

    /// Whether two numbers are equal up to the exporters' rounding, half precision included.
    private static func isClose(_ first: Double, _ second: Double) -> Bool {
        abs(first - second) <= 1e-3 * max(abs(first), abs(second))
    }
}
