import Glibc
import Shared

/// What a ``Graph`` computes: plain loops over one image, one function for each operation, to compare everything else
/// with. Sums are taken in double precision.
public struct GraphInterpreter {
    private let graph: Graph
    private let parameters: [String: Tensor]

    /// Interprets a graph with its parameters by name.
    public init(_ graph: Graph, _ parameters: [String: Tensor]) {
        self.graph = graph
        self.parameters = parameters
    }

    /// The logits of one image, whose values are `[channel, row, column]`.
    public func logits(of image: [Float]) -> [Float] { values(of: image)[graph.logits].numbers.map(Float.init) }

    /// The outputs of one image: class probabilities where the graph ends with a softmax, otherwise its logits.
    public func outputs(of image: [Float]) -> [Float] { values(of: image)[graph.output].numbers.map(Float.init) }

    private func values(of image: [Float]) -> [Planes] {
        precondition(image.count == graph.imageShape.count, "an image has the graph's shape")
        var values: [Planes] = []
        for (index, node) in graph.nodes.enumerated() {
            let inputs = node.inputs.map { values[$0] }
            values.append(
                index == 0 ? Planes(graph.imageShape, image.map(Double.init)) : value(of: index, inputs))
            precondition(values[index].shape == node.shape, "node \(node.name) makes what its shape says")
        }
        return values
    }

    private func value(of index: Int, _ inputs: [Planes]) -> Planes {
        let node = graph.nodes[index]
        let input = inputs[0]
        func parameter(_ role: Graph.Parameter.Role) -> [Double] {
            (parameters["\(node.name).\(role.rawValue)"]?.values ?? []).map(Double.init)
        }
        switch node.operation {
        case .image: return input
        case .convolution(let convolution):
            let bias = convolution.hasBias ? parameter(.bias) : []
            return Self.convolution(convolution, input, parameter(.weight), bias, node.shape)
        case .linear:
            let weight = parameter(.weight)
            let bias = parameter(.bias)
            return Planes(
                node.shape,
                (0..<node.shape.channels).map { output in
                    let row = weight[output * input.numbers.count..<(output + 1) * input.numbers.count]
                    return zip(row, input.numbers).reduce(bias.isEmpty ? 0 : bias[output]) { $0 + $1.0 * $1.1 }
                })
        case .batchNorm(let epsilon):
            let (weight, bias) = (parameter(.weight), parameter(.bias))
            let (mean, variance) = (parameter(.runningMean), parameter(.runningVariance))
            return input.map { channel, x in
                weight[channel] * (x - mean[channel]) / (variance[channel] + epsilon).squareRoot() + bias[channel]
            }
        case .affine:
            let (weight, bias) = (parameter(.weight), parameter(.bias))
            return input.map { channel, x in weight[channel] * x + bias[channel] }
        case .activation(let activation):
            let weight = parameter(.weight)
            return input.map { channel, x in Self.value(activation, x, weight.isEmpty ? 0 : weight[channel]) }
        case .add: return Self.combine(inputs, node.shape, +)
        case .multiply: return Self.combine(inputs, node.shape, *)
        case .concatenate: return Planes(node.shape, inputs.flatMap(\.numbers))
        case .pool(let pool): return Self.pool(pool, input, node.shape)
        case .adaptiveAverage: return Self.adaptiveAverage(input, node.shape)
        case .flatten: return Planes(node.shape, input.numbers)
        case .select(let channels):
            return Planes(node.shape) { channel, row, column in
                channels[channel].map { input[$0, row, column] } ?? 0
            }
        case .crop(let crop):
            return Planes(node.shape) { channel, row, column in
                input[channel, crop.top + row * crop.step.height, crop.left + column * crop.step.width]
            }
        case .pad(let insets):
            return Planes(node.shape) { channel, row, column in
                input.contains(row - insets.top, column - insets.left)
                    ? input[channel, row - insets.top, column - insets.left] : 0
            }
        case .softmax:
            let largest = input.numbers.max() ?? 0
            let powers = input.numbers.map { exp($0 - largest) }
            let sum = powers.reduce(0, +)
            return Planes(node.shape, powers.map { $0 / sum })
        }
    }

    // MARK: Operations

    private static func value(_ activation: Operation.Activation, _ x: Double, _ weight: Double) -> Double {
        switch activation {
        case .relu: max(0, x)
        case .leakyReLU(let slope): x > 0 ? x : slope * x
        case .prelu: x > 0 ? x : weight * x
        case .clip(let lowest, let highest): min(max(x, lowest), highest)
        case .sigmoid: 1 / (1 + exp(-x))
        case .hardSigmoid(let slope, let offset): min(max(slope * x + offset, 0), 1)
        case .hardSwish: x * min(max(x / 6 + 0.5, 0), 1)
        case .silu: x / (1 + exp(-x))
        case .tanh: tanh(x)
        case .elu(let alpha): x > 0 ? x : alpha * (exp(x) - 1)
        case .gelu: x / 2 * (1 + erf(x / 2.squareRoot()))
        case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        }
    }

    private static func convolution(
        _ convolution: Operation.Convolution, _ input: Planes, _ weight: [Double], _ bias: [Double], _ shape: Shape
    ) -> Planes {
        let read = input.shape.channels / convolution.groups
        let filters = shape.channels / convolution.groups
        var result = [Double](repeating: 0, count: shape.count)
        let kernel = convolution.kernel
        result.withUnsafeMutableBufferPointer { result in
            input.numbers.withUnsafeBufferPointer { source in
                for filter in 0..<shape.channels {
                    let plane = filter * shape.pixels
                    if !bias.isEmpty { for pixel in 0..<shape.pixels { result[plane + pixel] = bias[filter] } }
                    for channel in 0..<read {
                        let from = (filter / filters * read + channel) * input.shape.pixels
                        for tap in 0..<kernel.height * kernel.width {
                            let factor = weight[(filter * read + channel) * kernel.height * kernel.width + tap]
                            let down = tap / kernel.width * convolution.dilation.height - convolution.padding.top
                            let right = tap % kernel.width * convolution.dilation.width - convolution.padding.left
                            for row in 0..<shape.height {
                                let y = row * convolution.stride.height + down
                                guard y >= 0, y < input.shape.height else { continue }
                                for column in 0..<shape.width {
                                    let x = column * convolution.stride.width + right
                                    guard x >= 0, x < input.shape.width else { continue }
                                    result[plane + row * shape.width + column] +=
                                        factor * source[from + y * input.shape.width + x]
                                }
                            }
                        }
                    }
                }
            }
        }
        return Planes(shape, result)
    }

    private static func combine(
        _ inputs: [Planes], _ shape: Shape, _ operation: (Double, Double) -> Double
    ) -> Planes {
        Planes(shape) { channel, row, column in
            let values = inputs.map { input in
                let isPixel = input.shape.pixels == 1
                return input[input.shape.channels == 1 ? 0 : channel, isPixel ? 0 : row, isPixel ? 0 : column]
            }
            return values.dropFirst().reduce(values[0], operation)
        }
    }

    private static func pool(_ pool: Operation.Pool, _ input: Planes, _ shape: Shape) -> Planes {
        let padding = pool.padding
        return Planes(shape) { channel, row, column in
            let (top, left) = (row * pool.stride.height - padding.top, column * pool.stride.width - padding.left)
            var values: [Double] = []
            var counted = 0
            for tap in 0..<pool.kernel.height * pool.kernel.width {
                let y = top + tap / pool.kernel.width * pool.dilation.height
                let x = left + tap % pool.kernel.width * pool.dilation.width
                if input.contains(y, x) { values.append(input[channel, y, x]) }
                // A window that reaches beyond the padding counts only what is within it.
                if y < input.shape.height + padding.bottom, x < input.shape.width + padding.right { counted += 1 }
            }
            if pool.kind == .max { return values.max() ?? -.infinity }
            return values.reduce(0, +) / Double(pool.countsPadding ? counted : values.count)
        }
    }

    private static func adaptiveAverage(_ input: Planes, _ shape: Shape) -> Planes {
        func region(_ index: Int, of parts: Int, _ size: Int) -> Range<Int> {
            index * size / parts..<((index + 1) * size + parts - 1) / parts
        }
        return Planes(shape) { channel, row, column in
            let rows = region(row, of: shape.height, input.shape.height)
            let columns = region(column, of: shape.width, input.shape.width)
            let sum = rows.reduce(0.0) { sum, y in columns.reduce(sum) { $0 + input[channel, y, $1] } }
            return sum / Double(rows.count * columns.count)
        }
    }

    /// The channels of one image.
    private struct Planes {
        let shape: Shape
        let numbers: [Double]

        init(_ shape: Shape, _ numbers: [Double]) {
            precondition(numbers.count == shape.count, "numbers fill their shape")
            self.shape = shape
            self.numbers = numbers
        }

        /// Channels whose values are given by channel, row and column.
        init(_ shape: Shape, _ value: (Int, Int, Int) -> Double) {
            var numbers: [Double] = []
            numbers.reserveCapacity(shape.count)
            for channel in 0..<shape.channels {
                for row in 0..<shape.height {
                    for column in 0..<shape.width { numbers.append(value(channel, row, column)) }
                }
            }
            self.init(shape, numbers)
        }

        subscript(channel: Int, row: Int, column: Int) -> Double {
            numbers[(channel * shape.height + row) * shape.width + column]
        }

        func contains(_ row: Int, _ column: Int) -> Bool {
            (0..<shape.height).contains(row) && (0..<shape.width).contains(column)
        }

        /// A function of each value and its channel.
        func map(_ function: (Int, Double) -> Double) -> Planes {
            Planes(shape, numbers.enumerated().map { function($0.offset / shape.pixels, $0.element) })
        }
    }
}
