extension Operation {
    /// The shape of its output for inputs of these shapes. Throws a `.badInput` ``Failure`` if they, or its attributes,
    /// do not fit.
    func outputShape(of inputs: [Shape]) throws -> Shape {
        try check(numberOfInputs: inputs.count)
        guard let input = inputs.first else { throw Failure(.badInput, "an image cannot be added") }
        switch self {
        case .image: throw Failure(.badInput, "a graph has one image")
        case .convolution(let convolution): return try convolution.outputShape(of: input)
        case .linear(let linear):
            guard input.isVector else {
                throw Failure(.badInput, "a linear layer reads a vector, not \(input); flatten it first")
            }
            return Shape(vector: linear.outputs)
        case .batchNorm(let epsilon):
            guard epsilon > 0, epsilon.isFinite else { throw Failure(.badInput, "epsilon \(epsilon) is not positive") }
            return input
        case .affine: return input
        case .activation(let activation):
            try activation.check()
            return input
        case .add, .multiply: return try Self.broadcast(inputs)
        case .concatenate:
            var result = input
            for other in inputs.dropFirst() {
                guard other.height == input.height, other.width == input.width else {
                    throw Failure(.badInput, "\(input) and \(other) cannot be concatenated")
                }
                result.channels += other.channels
            }
            return result
        case .pool(let pool): return try pool.outputShape(of: input)
        case .adaptiveAverage(let size):
            try Self.check(size, "size")
            return Shape(channels: input.channels, height: size.height, width: size.width)
        case .flatten: return Shape(vector: input.count)
        case .select(let channels):
            if let bad = channels.lazy.compactMap({ $0 }).first(where: { !(0..<input.channels).contains($0) }) {
                throw Failure(.badInput, "there is no channel \(bad) in \(input)")
            }
            return Shape(channels: channels.count, height: input.height, width: input.width)
        case .crop(let crop):
            try Self.check(crop.step, "step")
            try Self.check(crop.size, "size")
            guard crop.top >= 0, crop.left >= 0,
                crop.top + (crop.size.height - 1) * crop.step.height < input.height,
                crop.left + (crop.size.width - 1) * crop.step.width < input.width
            else { throw Failure(.badInput, "the part reaches beyond \(input)") }
            return Shape(channels: input.channels, height: crop.size.height, width: crop.size.width)
        case .pad(let insets):
            try Self.check(insets)
            return Shape(
                channels: input.channels, height: insets.top + input.height + insets.bottom,
                width: insets.left + input.width + insets.right)
        case .softmax:
            guard input.isVector else { throw Failure(.badInput, "a softmax reads a vector, not \(input)") }
            return input
        }
    }

    private func check(numberOfInputs count: Int) throws {
        let allowed: ClosedRange<Int> =
            switch self {
            case .image: 0...0
            case .add: 2...Graph.nodesMax
            case .multiply: 2...2
            case .concatenate: 1...Graph.nodesMax
            default: 1...1
            }
        guard allowed.contains(count) else {
            throw Failure(.badInput, "it reads \(count) nodes, but \(allowed.lowerBound) are needed")
        }
    }

    private static func broadcast(_ inputs: [Shape]) throws -> Shape {
        let result = Shape(
            channels: inputs.map(\.channels).max() ?? 0, height: inputs.map(\.height).max() ?? 0,
            width: inputs.map(\.width).max() ?? 0)
        for input in inputs {
            guard input.channels == result.channels || input.channels == 1,
                input.pixels == 1 || (input.height == result.height && input.width == result.width)
            else { throw Failure(.badInput, "\(inputs[0]) and \(input) cannot be combined") }
        }
        return result
    }

    fileprivate static func check(_ extent: Extent, _ what: String) throws {
        guard (1...GraphBuilder.extentMax).contains(extent.height), (1...GraphBuilder.extentMax).contains(extent.width)
        else {
            throw Failure(
                .badInput, "\(what) \(extent.height) × \(extent.width) is not from 1 to \(GraphBuilder.extentMax)")
        }
    }

    /// Checks a window that slides over a channel.
    fileprivate static func check(kernel: Extent, stride: Extent, dilation: Extent, padding: Insets) throws {
        for (extent, what) in [(kernel, "kernel"), (stride, "stride"), (dilation, "dilation")] {
            try check(extent, what)
        }
        try check(padding)
    }

    fileprivate static func check(_ insets: Insets) throws {
        for inset in [insets.top, insets.left, insets.bottom, insets.right]
        where !(0...GraphBuilder.extentMax).contains(inset) {
            throw Failure(.badInput, "a padding of \(inset) is not from 0 to \(GraphBuilder.extentMax)")
        }
    }
}

extension Operation.Convolution {
    /// The shape of its output. Throws if its attributes do not fit.
    fileprivate func outputShape(of input: Shape) throws -> Shape {
        try Operation.check(kernel: kernel, stride: stride, dilation: dilation, padding: padding)
        guard filters > 0 else { throw Failure(.badInput, "it has no filters") }
        guard groups > 0, input.channels % groups == 0, filters % groups == 0 else {
            throw Failure(.badInput, "\(groups) groups do not divide \(input.channels) channels and \(filters) filters")
        }
        return Shape(
            channels: filters,
            height: windows(
                input.height, kernel.height, stride.height, dilation.height, padding.top + padding.bottom),
            width: windows(input.width, kernel.width, stride.width, dilation.width, padding.left + padding.right))
    }
}

extension Operation.Pool {
    /// The shape of its output. Throws if its attributes do not fit.
    fileprivate func outputShape(of input: Shape) throws -> Shape {
        try Operation.check(kernel: kernel, stride: stride, dilation: dilation, padding: padding)
        guard kind == .max || dilation == .one else { throw Failure(.badInput, "a mean of a dilated window") }
        guard max(padding.top, padding.bottom) < (kernel.height - 1) * dilation.height + 1,
            max(padding.left, padding.right) < (kernel.width - 1) * dilation.width + 1
        else { throw Failure(.badInput, "its padding is as wide as its window") }
        return Shape(
            channels: input.channels,
            height: count(input.height, kernel.height, stride.height, dilation.height, padding.top, padding.bottom),
            width: count(input.width, kernel.width, stride.width, dilation.width, padding.left, padding.right))
    }

    private func count(_ size: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ before: Int, _ after: Int) -> Int {
        let whole = windows(size, kernel, stride, dilation, before + after)
        guard coversEnd else { return whole }
        let rest = size + before + after - ((kernel - 1) * dilation + 1)
        guard rest >= 0 else { return 0 }
        // A window that would begin in the padding after the channel does not count, as in PyTorch.
        let rounded = (rest + stride - 1) / stride + 1
        return (rounded - 1) * stride >= size + before ? rounded - 1 : rounded
    }
}

extension Operation.Activation {
    /// Throws if an attribute is not a sensible number.
    fileprivate func check() throws {
        let numbers: [Double] =
            switch self {
            case .leakyReLU(let slope): [slope]
            // A bound may be infinite.
            case .clip(let lowest, let highest): [lowest <= highest ? 0 : .nan]
            case .hardSigmoid(let slope, let offset): [slope, offset]
            case .elu(let alpha): [alpha]
            default: []
            }
        guard numbers.allSatisfy(\.isFinite) else { throw Failure(.badInput, "its attributes are not finite numbers") }
    }
}

/// The positions of a window of `kernel` values, `dilation` apart, within a padded row.
private func windows(_ size: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ padding: Int) -> Int {
    let rest = size + padding - ((kernel - 1) * dilation + 1)
    return rest < 0 ? 0 : rest / stride + 1
}
