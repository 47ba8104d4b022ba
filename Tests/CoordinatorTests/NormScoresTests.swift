import Shared
import TestSupport
import Testing

@testable import Coordinator

struct NormScoresTests {
    /// Two hidden neurons with weights (3, 4) and (0, 1); the second layer's weights are all the same.
    private static let network = Network(
        graph: .fullyConnected(widths: [2, 2, 2, 2]),
        parameters: [
            "fc1.weight": Tensor(shape: [2, 2], values: [3, -4, 0, 1]),
            "fc2.weight": Tensor(shape: [2, 2], values: [5, 5, 5, 5]),
            "fc3.weight": Tensor(shape: [2, 2], values: [1, 2, 3, 4]),
            "fc1.bias": Tensor(shape: [2], values: [0, 0]),
            "fc2.bias": Tensor(shape: [2], values: [0, 0]),
            "fc3.bias": Tensor(shape: [2], values: [0, 0]),
        ])

    @Test func l1IsTheSumOfAbsoluteWeightsOverTheLayersMean() {
        #expect(WeightNorm.l1.scores(Self.network) == [7.0 / 4, 1.0 / 4, 1, 1])
    }

    @Test func l2IsTheLengthOverTheLayersMean() {
        #expect(WeightNorm.l2.scores(Self.network) == [5.0 / 3, 1.0 / 3, 1, 1])
    }

    @Test func geometricMedianIsTheDistanceToTheOthers() {
        // Two filters are equally far from each other, and equal filters have no distance.
        #expect(WeightNorm.geometricMedian.scores(Self.network) == [1, 1, 0, 0])
    }

    @Test func geometricMedianIsTheSumOfAllDistancesOverTheLayersMean() {
        var generator = SeededGenerator(seed: 2)
        let network = Network.random(.fullyConnected(widths: [7, 13, 5, 3]), using: &generator)
        let wanted = [(name: "fc1.weight", inputs: 7), (name: "fc2.weight", inputs: 13)].flatMap { layer in
            let weights = network[layer.name].values.map(Double.init)
            let filters = stride(from: 0, to: weights.count, by: layer.inputs).map {
                weights[$0..<$0 + layer.inputs]
            }
            let sums = filters.map { filter in
                filters.reduce(0.0) { sum, other in
                    sum + zip(filter, other).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
                }
            }
            return sums.map { $0 / (sums.reduce(0, +) / Double(sums.count)) }
        }
        let scores = WeightNorm.geometricMedian.scores(network)
        #expect(scores.count == wanted.count)
        #expect(zip(scores, wanted).allSatisfy { abs($0 - $1) < 1e-12 })
    }

    @Test func scalingALayerChangesNoScore() {
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(.residual(widths: [4, 6], blocksPerStage: 1), using: &generator)
        var scaled = network.parameters
        let weight = network["layer1.0.conv1.weight"]
        scaled["layer1.0.conv1.weight"] = Tensor(shape: weight.shape, values: weight.values.map { 4 * $0 })
        let other = Network(graph: network.graph, parameters: scaled)
        for norm in WeightNorm.allCases {
            let pairs = zip(norm.scores(network), norm.scores(other))
            #expect(pairs.allSatisfy { abs($0 - $1) < 1e-9 })
        }
    }
}
