import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

@Suite struct LatencyTests {
    /// Networks of all kinds of layers and many widths.
    private static let graphs: [Graph] = {
        var graphs: [Graph] = []
        for step in 1...10 {
            let widths = [4 + 3 * step, 40 - 2 * step]
            graphs.append(Graph.residual(widths: widths, blocksPerStage: 2, imageSize: 16))
            let hidden = [24, 10 * step, 64 - 5 * step, 5]
            graphs.append(Graph.fullyConnected(widths: hidden))
        }
        return graphs
    }()

    @Test func theModelFindsWhatTimeIsASumOf() {
        // Nanoseconds of a convolution's multiply-accumulate, a linear layer's, and of any network.
        let (convolution, linear, constant) = (0.25, 0.125, 40_000.0)
        let measured = Self.graphs.map { graph -> (graph: Graph, milliseconds: Double) in
            var nanoseconds = constant
            for (layer, cost) in zip(graph.layerCosts, graph.cost().layers) {
                nanoseconds += Double(cost.multiplyAccumulates) * (layer.positions > 1 ? convolution : linear)
            }
            return (graph, nanoseconds / 1e6)
        }
        let model = LatencyModel(measured)
        for (graph, milliseconds) in measured {
            #expect(abs(model.milliseconds(graph) / milliseconds - 1) < 0.02)
            var layers = 0
            for layer in graph.layerCosts {
                let node = graph.nodes[layer.node]
                let reading = graph.nodes[node.inputs[0]].shape.channels
                layers += model.picoseconds(layer, reading: reading, making: node.shape.channels)
            }
            #expect(abs(model.milliseconds(layersPicoseconds: layers) / model.milliseconds(graph) - 1) < 1e-3)
        }
    }

    private static func search(command: String, multiple: Int?) -> LatencySearch {
        var generator = SeededGenerator(seed: 5)
        let network = Network.random(.fullyConnected(widths: [32, 64, 48, 5]), using: &generator)
        return LatencySearch(
            network: network, scores: FilterScores(.l1, of: network, scope: .hidden, seed: 1), lossModel: .additive,
            rules: WidthRules(leastShare: 0.1), multiple: multiple,
            meter: LatencyMeter(program: .command(command)), seed: 1)
    }

    /// A runtime whose time is proportional to the model's size.
    private static let bySize = "expr $(wc -c < {onnx}) / 10"

    @Test(arguments: [1.25, 2.0]) func theNetworkIsAsFastAsWasAskedFor(speedup: Double) throws {
        let found = try Self.search(command: Self.bySize, multiple: nil).search(speedup: speedup) { _ in }
        let measured = found.millisecondsBefore / found.milliseconds
        #expect(measured >= speedup && measured < speedup * 1.25)
        #expect(found.network.graph.cost().parameters < 5509)
    }

    @Test func widthsAreMultiples() throws {
        let search = Self.search(command: Self.bySize, multiple: 8)
        let found = try search.search(speedup: 1.5) { _ in }
        #expect(found.multiple == 8)
        for layer in FilterSpace(found.network.graph).layers { #expect(layer.filters.count % 8 == 0) }
    }

    @Test func aSpeedThatNoRemovalReachesIsNamed() {
        let error = #expect(throws: Failure.self) {
            try Self.search(command: "echo {onnx} >&2; echo 3.5", multiple: 1).search(speedup: 2) { _ in }
        }
        #expect(error?.kind == .usage && error?.description.contains("2.0 times as fast") == true)
    }

    @Test(arguments: [("exit 3 # {onnx}", "exit code 3"), ("echo fast # {onnx}", "'fast'"), ("true {onnx}", "''")])
    func aCommandThatMeasuresNothingIsQuoted(command: String, text: String) {
        let error = #expect(throws: Failure.self) {
            try Self.search(command: command, multiple: 1).search(speedup: 2) { _ in }
        }
        #expect(error?.description.contains(text) == true, "\(String(describing: error))")
    }
}
