import Shared

/// Random feed-forward networks that use every operation, to test properties that hold for any graph.
public struct RandomGraphs {
    private var generator: SeededGenerator
    private var builder: GraphBuilder
    private var number = 0
    /// Nodes whose values may still be read.
    private var open: [Int] = [0]

    /// A graph for images of a shape, the same for the same seed.
    public static func graph(
        seed: UInt64, image: Shape = Shape(channels: 3, height: 10, width: 8), operations: Int = 14, classes: Int = 4
    ) throws -> Graph {
        var random = RandomGraphs(generator: SeededGenerator(seed: seed), builder: try GraphBuilder(image: image))
        try random.grow(operations)
        return try random.finished(classes)
    }

    private init(generator: SeededGenerator, builder: GraphBuilder) {
        self.generator = generator
        self.builder = builder
    }

    private mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &generator) < share }

    private mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &generator)]
    }

    private mutating func add(_ operation: Graph.Operation, _ inputs: [Int]) throws -> Int {
        number += 1
        return try builder.add("n\(number)", operation, inputs)
    }

    private mutating func grow(_ operations: Int) throws {
        var node = try layer(0)
        for _ in 0..<operations {
            let before = node
            let shape = builder.shape(node)
            switch Int.random(in: 0..<12, using: &generator) {
            case 0, 1: node = try layer(node)
            case 2: node = try residual(node)
            case 3: node = try depthwise(node)
            case 4: node = try grouped(node)
            case 5: node = try squeezed(node)
            case 6:
                let other = try layer(node)
                node = try add(.concatenate, chance(0.5) ? [node, other] : [other, node])
            case 7: node = try pooled(node)
            case 8:
                // A shuffle, or a slice with zeros beside it.
                var channels: [Int?] = Array(0..<shape.channels).shuffled(using: &generator)
                if chance(0.5) { channels = [nil] + channels.prefix(max(1, shape.channels - 1)) }
                node = try add(.select(channels), [node])
            case 9:
                if shape.height > 3, shape.width > 3 {
                    let crop = Graph.Operation.Crop(
                        top: 1, left: 0, step: .init(1, 2), size: .init(shape.height - 1, (shape.width + 1) / 2))
                    node = try add(.crop(crop), [node])
                }
            case 10: node = try add(.pad(.init(top: 1, left: 0, bottom: 0, right: 1)), [node])
            default:
                node = try add(.batchNorm(epsilon: 1e-5), [node])
                node = try activation(node)
            }
            if chance(0.2) { node = try twoWays(before: before, node) }
        }
        open = [node]
    }

    /// A value twice, directly and after other operations, combined if the shapes agree.
    private mutating func twoWays(before: Int, _ node: Int) throws -> Int {
        guard builder.shape(before) == builder.shape(node), before != node else { return node }
        return try add(.add, [before, node])
    }

    /// An odd kernel, so that padding keeps the size.
    private func fitting(_ kernel: Int, _ shape: Shape) -> Int {
        min(shape.height, shape.width) < kernel ? 1 : kernel
    }

    private mutating func activation(_ node: Int) throws -> Int {
        let functions: [Graph.Operation.Activation] = [
            .relu, .relu, .leakyReLU(slope: 0.1), .prelu, .clip(lowest: 0, highest: 6), .sigmoid,
            .hardSigmoid(slope: 1 / 6, offset: 0.5), .hardSwish, .silu, .tanh, .elu(alpha: 1), .gelu, .geluTanh,
        ]
        return try add(.activation(pick(functions)), [node])
    }

    private mutating func layer(_ node: Int, filters: Int? = nil, stride: Int = 1, groups: Int = 1) throws -> Int {
        let shape = builder.shape(node)
        let kernel = fitting(pick([1, 3, 3, 5]), shape)
        let convolution = Graph.Operation.Convolution(
            filters: filters ?? Int.random(in: 2...6, using: &generator), kernel: .init(kernel),
            stride: .init(stride), padding: .init(kernel / 2), groups: groups, hasBias: chance(0.5))
        var result = try add(.convolution(convolution), [node])
        if chance(0.6) { result = try add(.batchNorm(epsilon: 1e-5), [result]) }
        return chance(0.7) ? try activation(result) : result
    }

    private mutating func residual(_ node: Int) throws -> Int {
        let shape = builder.shape(node)
        let inner = try layer(node)
        let kernel = Graph.Operation.Convolution(
            filters: shape.channels, kernel: .init(fitting(3, shape)), padding: .init(fitting(3, shape) / 2),
            hasBias: chance(0.3))
        var outer = try add(.convolution(kernel), [inner])
        guard builder.shape(outer) == shape else { return outer }
        if chance(0.7) { outer = try add(.batchNorm(epsilon: 1e-3), [outer]) }
        let sum = try add(.add, chance(0.5) ? [outer, node] : [node, outer])
        return chance(0.7) ? try activation(sum) : sum
    }

    private mutating func depthwise(_ node: Int) throws -> Int {
        let shape = builder.shape(node)
        guard shape.channels > 1 else { return node }
        let kernel = fitting(3, shape)
        let convolution = Graph.Operation.Convolution(
            filters: shape.channels * (chance(0.3) ? 2 : 1), kernel: .init(kernel), padding: .init(kernel / 2),
            groups: shape.channels, hasBias: chance(0.5))
        let result = try add(.convolution(convolution), [node])
        return chance(0.5) ? try add(.batchNorm(epsilon: 1e-5), [result]) : result
    }

    private mutating func grouped(_ node: Int) throws -> Int {
        let wide = try layer(node, filters: 6)
        return try layer(wide, filters: pick([3, 6]), groups: 3)
    }

    private mutating func squeezed(_ node: Int) throws -> Int {
        var gate = try add(.adaptiveAverage(.one), [node])
        gate = try add(.convolution(.init(filters: 2, kernel: .one, hasBias: true)), [gate])
        gate = try add(.activation(.relu), [gate])
        gate = try add(
            .convolution(.init(filters: builder.shape(node).channels, kernel: .one, hasBias: true)), [gate])
        gate = try add(.activation(.sigmoid), [gate])
        return try add(.multiply, chance(0.5) ? [node, gate] : [gate, node])
    }

    private mutating func pooled(_ node: Int) throws -> Int {
        let shape = builder.shape(node)
        guard shape.height > 3, shape.width > 3 else { return node }
        switch Int.random(in: 0..<3, using: &generator) {
        case 0:
            return try add(
                .pool(.init(.max, kernel: .init(3), stride: .init(2), padding: .init(1), coversEnd: chance(0.5))),
                [node])
        case 1:
            return try add(
                .pool(
                    .init(
                        .average, kernel: .init(3, 2), stride: .init(2), padding: .init(1), coversEnd: chance(0.5),
                        countsPadding: chance(0.5))), [node])
        default: return try add(.adaptiveAverage(.init(3, 2)), [node])
        }
    }

    private mutating func finished(_ classes: Int) throws -> Graph {
        var node = open[0]
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: node = try add(.adaptiveAverage(.one), [node])
        case 1: node = try add(.adaptiveAverage(.init(2)), [node])
        default: break
        }
        node = try add(.flatten, [node])
        if chance(0.5) {
            node = try add(.linear(.init(outputs: 7, hasBias: chance(0.5))), [node])
            if chance(0.5) { node = try add(.batchNorm(epsilon: 1e-5), [node]) }
            node = try activation(node)
        }
        node = try add(.linear(.init(outputs: classes)), [node])
        if chance(0.3) { node = try add(.softmax, [node]) }
        return try builder.graph(output: node)
    }
}
