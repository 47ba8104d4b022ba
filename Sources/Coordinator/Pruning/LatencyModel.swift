import Shared

/// A network's time per image as a function of its layers' widths: a constant, a time per multiply-accumulate, which
/// differs between kinds of layers, and one per value that a layer outputs.
///
/// Fitted to measured networks of random widths, so it reflects the machine and the program, but not how either works
/// inside.
struct LatencyModel: Equatable {
    /// Layers whose multiply-accumulates take alike.
    enum Kind: Int, CaseIterable {
        case convolution, pointwise, depthwise, linear
    }

    /// The terms of a network's time: the multiply-accumulates of each kind, values, and 1.
    private static let terms = Kind.allCases.count + 2
    /// Passes over the coefficients; the fit of a few coefficients converges in far fewer.
    private static let passes = 20_000

    /// Nanoseconds per unit of each term; none is negative.
    private let coefficients: [Double]

    /// Fits the model to networks and their milliseconds, by least squares of the relative errors with no negative
    /// coefficient (cyclic coordinate descent).
    init(_ measured: [(graph: Graph, milliseconds: Double)]) {
        let rows = measured.map { point in
            Self.amounts(of: point.graph).map { $0 / (1e6 * point.milliseconds) }
        }
        var coefficients = [Double](repeating: 0, count: Self.terms)
        var errors = [Double](repeating: 1, count: rows.count)
        for _ in 0..<Self.passes {
            for term in 0..<Self.terms {
                var product = 0.0
                var square = 0.0
                for (row, error) in zip(rows, errors) {
                    product += row[term] * error
                    square += row[term] * row[term]
                }
                guard square > 0 else { continue }
                let change = max(-coefficients[term], product / square)
                coefficients[term] += change
                for index in rows.indices { errors[index] -= change * rows[index][term] }
            }
        }
        self.coefficients = coefficients
    }

    /// Milliseconds for an image.
    func milliseconds(_ graph: Graph) -> Double {
        zip(coefficients, Self.amounts(of: graph)).reduce(0) { $0 + $1.0 * $1.1 } / 1e6
    }

    /// Milliseconds of a network whose layers take this many picoseconds.
    func milliseconds(layersPicoseconds: Int) -> Double {
        Double(layersPicoseconds) / 1e9 + (coefficients.last ?? 0) / 1e6
    }

    /// The most picoseconds for the layers if an image may take this many milliseconds; not below 0.
    func layersPicoseconds(milliseconds: Double) -> Int {
        max(0, Int((milliseconds * 1e9 - 1e3 * (coefficients.last ?? 0)).rounded(.down)))
    }

    /// The time of a layer that reads and makes this many channels.
    func picoseconds(_ layer: LayerCost, reading: Int, making: Int) -> Int {
        let work = Double(layer.cost(reading: reading, making: making).multiplyAccumulates)
        let values = Double(making * layer.positions)
        return Int(
            (1e3 * (coefficients[Self.kind(of: layer).rawValue] * work + coefficients[Self.terms - 2] * values))
                .rounded())
    }

    private static func kind(of layer: LayerCost) -> Kind {
        if layer.isDepthwise { return .depthwise }
        if layer.taps > 1 { return .convolution }
        return layer.positions > 1 ? .pointwise : .linear
    }

    private static func amounts(of graph: Graph) -> [Double] {
        var amounts = [Double](repeating: 0, count: terms)
        amounts[terms - 1] = 1
        for layer in graph.layerCosts {
            let node = graph.nodes[layer.node]
            let reading = graph.nodes[node.inputs[0]].shape.channels
            let cost = layer.cost(reading: reading, making: node.shape.channels)
            amounts[kind(of: layer).rawValue] += Double(cost.multiplyAccumulates)
            amounts[terms - 2] += Double(node.shape.channels * layer.positions)
        }
        return amounts
    }
}
