import Foundation
import Shared

/// A masked network's outputs, written as plainly as possible in double precision: the definition that faster code is
/// compared with.
public struct ReferenceForward {
    /// The source of channel statistics.
    public enum Statistics: Sendable {
        /// Batch norms use the network's running statistics.
        case running
        /// Batch norms use each channel's own mean and population variance over the images given.
        case ofTheseImages
        /// Batch norms use the running statistics, corrected by how the mask changes those of the given images; outputs
        /// of layers without a batch norm get the mean and deviation of the unmasked network back.
        case runningCorrected
    }

    /// The values of all images, `[image, row, column]`, or nil if the channel is absent.
    public typealias Channel = [Double]?

    /// A factor of one filter's channel wherever its absence would end (``GateEnds``).
    public struct Gate {
        let filter: Int
        let factor: Double

        public init(filter: Int, factor: Double) {
            self.filter = filter
            self.factor = factor
        }
    }

    /// The mean and variance of every present channel of a node, by the node's place.
    private final class Measured {
        var channels: [Int: [(mean: Double, variance: Double)?]] = [:]
        /// See ``ReferenceForward/rounding(_:)``.
        var rounding = 0.0
    }

    let network: Network
    let space: FilterSpace
    let mask: Mask
    let statistics: Statistics
    let gate: Gate?
    private let gateEnds: GateEnds?
    private let measured = Measured()
    private var unmasked: Measured?

    public init(_ network: Network, mask: Mask? = nil, statistics: Statistics = .running, gate: Gate? = nil) {
        self.network = network
        space = FilterSpace(network.graph)
        self.mask = mask ?? Mask(count: space.count)
        self.statistics = statistics
        self.gate = gate
        gateEnds = gate == nil ? nil : GateEnds(network.graph, space)
    }

    /// The logits `[images][classes]` for inputs `[images][channel, row, column]`.
    public func outputs(_ inputs: [[Double]]) -> [[Double]] {
        let graph = network.graph
        let logits = values(inputs)[graph.logits]
        return inputs.indices.map { image in logits.map { $0?[image] ?? 0 } }
    }

    /// How far float arithmetic may shift channels whose mean and deviation are replaced, in units of their deviation:
    /// the worst channel's of every node, added up. A mask can leave a channel so nearly constant that floats hold only
    /// its mean, and a norm then amplifies rounding errors. Sums and Winograd's transformations are assumed to lose
    /// three bits.
    public func rounding(_ inputs: [[Double]]) -> Double {
        if case .running = statistics { return 0 }
        let forward = ReferenceForward(network, mask: mask, statistics: statistics)
        _ = forward.values(inputs)
        return forward.measured.rounding
    }

    /// The channels of every node.
    public func values(_ inputs: [[Double]]) -> [[Channel]] {
        var forward = self
        if case .runningCorrected = statistics {
            let unmasked = ReferenceForward(network)
            _ = unmasked.values(inputs)
            forward.unmasked = unmasked.measured
        }
        let graph = network.graph
        let shape = graph.imageShape
        var values: [[Channel]] = [
            (0..<shape.channels).map { channel in
                inputs.flatMap { $0[channel * shape.pixels..<(channel + 1) * shape.pixels] }
            }
        ]
        for index in graph.nodes.indices.dropFirst() {
            values.append(forward.value(of: index, values, images: inputs.count))
        }
        return values
    }

    private func value(of index: Int, _ values: [[Channel]], images: Int) -> [Channel] {
        let graph = network.graph
        let node = graph.nodes[index]
        let inputs = node.inputs.enumerated().map { gated(values[$1], readBy: index, $0) }
        let from = graph.inputShape(of: node)
        let to = node.shape
        func parameter(_ role: String) -> [Double] { network["\(node.name).\(role)"].values.map(Double.init) }
        func each(_ input: [Channel], _ change: (Int, [Double]) -> [Double]) -> [Channel] {
            input.enumerated().map { channel, values in values.map { change(channel, $0) } }
        }
        switch node.operation {
        case .image: return inputs[0]
        case .convolution(let convolution):
            return layer(index, convolved(convolution, inputs[0], from, to, node, images: images))
        case .linear:
            let kernel = Graph.Operation.Convolution(filters: to.channels, kernel: .one, hasBias: false)
            return layer(index, convolved(kernel, inputs[0], from, to, node, images: images))
        case .batchNorm(let epsilon): return normalised(index, inputs[0], epsilon)
        case .affine:
            let (weight, bias) = (parameter("weight"), parameter("bias"))
            return each(inputs[0]) { channel, values in values.map { weight[channel] * $0 + bias[channel] } }
        case .activation(let activation):
            let slopes = activation == .prelu ? parameter("weight") : []
            return each(inputs[0]) { channel, values in
                values.map { activation == .prelu ? ($0 > 0 ? $0 : slopes[channel] * $0) : Self.apply(activation, $0) }
            }
        case .add, .multiply:
            return (0..<to.channels).map { channel in
                let terms = zip(inputs, node.inputs).map { input, place in
                    Self.spread(
                        input[input.count == 1 ? 0 : channel], graph.nodes[place].shape.pixels, to.pixels, images)
                }
                if node.operation == .multiply {
                    guard let a = terms[0], let b = terms[1] else { return nil }
                    return zip(a, b).map { $0 * $1 }
                }
                return terms.reduce(nil as Channel) { sum, term in
                    guard let sum else { return term }
                    guard let term else { return sum }
                    return zip(sum, term).map { $0 + $1 }
                }
            }
        case .concatenate: return inputs.flatMap { $0 }
        case .flatten:
            return inputs[0].flatMap { channel in
                (0..<from.pixels).map { pixel in
                    channel.map { values in (0..<images).map { values[$0 * from.pixels + pixel] } }
                }
            }
        case .select(let channels): return channels.map { $0.flatMap { inputs[0][$0] } }
        case .pool(let pool):
            return each(inputs[0]) { _, values in
                Self.windows(from, to, images) { Self.pooled(pool, values, from, image: $0, row: $1, column: $2) }
            }
        case .adaptiveAverage(let size):
            return each(inputs[0]) { _, values in
                Self.windows(from, to, images) { image, row, column in
                    let rows = Self.region(row, of: size.height, in: from.height)
                    let columns = Self.region(column, of: size.width, in: from.width)
                    let sum = rows.reduce(0.0) { sum, y in
                        columns.reduce(sum) { $0 + values[(image * from.height + y) * from.width + $1] }
                    }
                    return sum / Double(rows.count * columns.count)
                }
            }
        case .crop(let crop):
            return each(inputs[0]) { _, values in
                Self.windows(from, to, images) { image, row, column in
                    let y = crop.top + row * crop.step.height
                    return values[(image * from.height + y) * from.width + crop.left + column * crop.step.width]
                }
            }
        case .pad(let insets):
            return each(inputs[0]) { _, values in
                Self.windows(from, to, images) { image, row, column in
                    let (y, x) = (row - insets.top, column - insets.left)
                    guard (0..<from.height).contains(y), (0..<from.width).contains(x) else { return 0 }
                    return values[(image * from.height + y) * from.width + x]
                }
            }
        case .softmax:
            let powers = inputs[0].map { $0.map { $0.map(exp) } }
            let sums = (0..<images).map { image in powers.reduce(0) { $0 + ($1?[image] ?? 0) } }
            return powers.map { $0.map { zip($0, sums).map { $0 / $1 } } }
        }
    }

    private func gated(_ input: [Channel], readBy node: Int, _ position: Int) -> [Channel] {
        guard let gate, let gateEnds else { return input }
        var result = input
        for end in gateEnds.ends(of: node, position) where end.filter == gate.filter {
            result[end.channel] = result[end.channel]?.map { $0 * gate.factor }
        }
        return result
    }

    private static func spread(_ channel: Channel, _ pixels: Int, _ wanted: Int, _ images: Int) -> Channel {
        guard pixels != wanted else { return channel }
        return channel.map { values in (0..<images).flatMap { Array(repeating: values[$0], count: wanted) } }
    }

    private static func region(_ index: Int, of count: Int, in size: Int) -> Range<Int> {
        index * size / count..<((index + 1) * size + count - 1) / count
    }

    private static func windows(
        _ from: Shape, _ to: Shape, _ images: Int, _ value: (_ image: Int, _ row: Int, _ column: Int) -> Double
    ) -> [Double] {
        (0..<images).flatMap { image in
            (0..<to.pixels).map { value(image, $0 / to.width, $0 % to.width) }
        }
    }

    private static func pooled(
        _ pool: Graph.Operation.Pool, _ values: [Double], _ from: Shape, image: Int, row: Int, column: Int
    ) -> Double {
        var largest = -Double.infinity
        var sum = 0.0
        var inside = 0
        var padded = 0
        for i in 0..<pool.kernel.height {
            for j in 0..<pool.kernel.width {
                let y = row * pool.stride.height - pool.padding.top + i * pool.dilation.height
                let x = column * pool.stride.width - pool.padding.left + j * pool.dilation.width
                if y < from.height + pool.padding.bottom, x < from.width + pool.padding.right { padded += 1 }
                guard (0..<from.height).contains(y), (0..<from.width).contains(x) else { continue }
                let value = values[(image * from.height + y) * from.width + x]
                largest = max(largest, value)
                sum += value
                inside += 1
            }
        }
        return pool.kind == .max ? largest : sum / Double(pool.countsPadding ? padded : inside)
    }

    private static func apply(_ activation: Graph.Operation.Activation, _ x: Double) -> Double {
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        switch activation {
        case .relu: return max(x, 0)
        case .leakyReLU(let slope): return x > 0 ? x : slope * x
        case .prelu: return x
        case .clip(let lowest, let highest): return min(max(x, lowest), highest)
        case .sigmoid: return sigmoid(x)
        case .hardSigmoid(let slope, let offset): return min(max(slope * x + offset, 0), 1)
        case .hardSwish: return x * min(max(x / 6 + 0.5, 0), 1)
        case .silu: return x * sigmoid(x)
        case .tanh: return Foundation.tanh(x)
        case .elu(let alpha): return x > 0 ? x : alpha * (exp(x) - 1)
        case .gelu: return x / 2 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: return x / 2 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        }
    }

    /// A convolution, or a linear layer as one of a single pixel. Absent channels count as nothing.
    private func convolved(
        _ convolution: Graph.Operation.Convolution, _ input: [Channel], _ from: Shape, _ to: Shape, _ node: Graph.Node,
        images: Int
    ) -> [Channel] {
        let weight = network["\(node.name).weight"].values
        let bias = network.parameters["\(node.name).bias"]?.values
        let read = from.channels / convolution.groups
        let made = to.channels / convolution.groups
        let taps = convolution.kernel.height * convolution.kernel.width
        return (0..<to.channels).map { filter in
            let first = filter / made * read
            if convolution.isDepthwise(of: from.channels), input[first] == nil { return nil }
            var output = [Double](repeating: Double(bias?[filter] ?? 0), count: images * to.pixels)
            for channel in 0..<read {
                guard let values = input[first + channel] else { continue }
                for tap in 0..<taps {
                    let factor = Double(weight[(filter * read + channel) * taps + tap])
                    let top = tap / convolution.kernel.width * convolution.dilation.height - convolution.padding.top
                    let left = tap % convolution.kernel.width * convolution.dilation.width - convolution.padding.left
                    for image in 0..<images {
                        for row in 0..<to.height {
                            let y = row * convolution.stride.height + top
                            guard y >= 0, y < from.height else { continue }
                            for column in 0..<to.width {
                                let x = column * convolution.stride.width + left
                                guard x >= 0, x < from.width else { continue }
                                output[(image * to.height + row) * to.width + column] +=
                                    factor * values[(image * from.height + y) * from.width + x]
                            }
                        }
                    }
                }
            }
            return output
        }
    }

    /// A layer's outputs, absent if the mask disables the filter, corrected if requested and no batch norm follows.
    private func layer(_ index: Int, _ output: [Channel]) -> [Channel] {
        var output = output
        if let layer = space.layers.first(where: { $0.node == index }) {
            for (channel, filter) in layer.filters.enumerated() where mask[filter] { output[channel] = nil }
        }
        guard network.graph.lacksBatchNorm(index) else { return output }
        let measured = measure(index, output)
        guard case .runningCorrected = statistics, let before = unmasked?.channels[index] else { return output }
        return output.enumerated().map { channel, values in
            guard let values, let now = measured[channel], let before = before[channel] else { return nil }
            let epsilon = 1e-5 + before.variance / 100
            let scale = ((before.variance + epsilon) / (now.variance + epsilon)).squareRoot()
            return values.map { ($0 - now.mean) * scale + before.mean }
        }
    }

    @discardableResult
    private func measure(_ index: Int, _ input: [Channel]) -> [(mean: Double, variance: Double)?] {
        let lost = 8 * Double(Float.ulpOfOne) / 2
        var worst = 0.0
        let result = input.map { channel in
            channel.map { values in
                let count = Double(values.count)
                let mean = values.reduce(0, +) / count
                let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
                worst = max(worst, abs(mean) * lost / (variance + 1e-5).squareRoot())
                return (mean, variance)
            }
        }
        measured.rounding += worst
        measured.channels[index] = result
        return result
    }

    private func normalised(_ index: Int, _ input: [Channel], _ epsilon: Double) -> [Channel] {
        let name = network.graph.nodes[index].name
        let now = measure(index, input)
        return input.enumerated().map { channel, values in
            guard let values, let images = now[channel] else { return nil }
            var mean = Double(network["\(name).running_mean"].values[channel])
            var variance = Double(network["\(name).running_var"].values[channel])
            switch statistics {
            case .running: break
            case .ofTheseImages: (mean, variance) = images
            case .runningCorrected:
                guard let before = unmasked?.channels[index]?[channel] else { break }
                let ratio = (variance + epsilon) / (before.variance + epsilon)
                mean += ratio.squareRoot() * (images.mean - before.mean)
                variance = ratio * (images.variance + epsilon) - epsilon
            }
            let scale = Double(network["\(name).weight"].values[channel]) / (variance + epsilon).squareRoot()
            let bias = Double(network["\(name).bias"].values[channel])
            return values.map { ($0 - mean) * scale + bias }
        }
    }
}
