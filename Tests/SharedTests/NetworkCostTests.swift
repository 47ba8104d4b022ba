import TestSupport
import Testing

@testable import Shared

private func publishedResNet(_ depth: Int) -> Graph {
    .residual(widths: [16, 32, 64], blocksPerStage: (depth - 2) / 6, imageSize: 32)
}

@Test(arguments: [(20, 269_722, 40.6), (56, 853_018, 125.5)])
func thePublishedNetworksCostWhatThePapersSay(depth: Int, parameters: Int, millions: Double) {
    let cost = publishedResNet(depth).cost()
    #expect(cost.parameters == parameters)
    #expect((Double(cost.multiplyAccumulates) / 1e5).rounded() / 10 == millions)
    #expect(cost.layers.count == depth)
    #expect(cost.layers[0] == NetworkCost.Layer(name: "conv1", parameters: 464, multiplyAccumulates: 432 * 1024))
}

@Test func aFilterTakesItsWeightsItsNormAndTheNextConvolutionsWeights() {
    let architecture = publishedResNet(20)
    let space = FilterSpace(architecture)
    for (name, inputs, size) in [("layer1.0.conv1", 16, 32), ("layer2.0.conv1", 16, 16), ("layer3.1.conv1", 64, 8)] {
        guard let layer = space.layer(named: name) else {
            Issue.record("no layer \(name)")
            continue
        }
        let mask = Mask(count: space.count, disabled: [layer.filters.lowerBound + 1])
        let (before, after) = (architecture.cost(), architecture.cost(under: mask))
        let weights = 9 * (inputs + layer.filters.count)
        #expect(before.parameters - after.parameters == weights + 2)
        #expect(before.multiplyAccumulates - after.multiplyAccumulates == weights * size * size)
    }
}

@Test func aMasksCostIsTheCompactNetworksCost() throws {
    var generator = SeededGenerator(seed: 1)
    for architecture in [
        Graph.residual(widths: [6, 8, 12], blocksPerStage: 2), .fullyConnected(widths: [3072, 20, 15, 10]),
    ] {
        let space = FilterSpace(architecture)
        let hidden = space.layers.filter { $0.role == .hidden }.flatMap { Array($0.filters) }
        for _ in 0..<20 {
            let mask = Mask(count: space.count, disabled: hidden.filter { _ in Bool.random(using: &generator) })
            let removal = try Removal(architecture, removing: mask)
            guard removal.silent.allSatisfy(\.isEmpty) else { continue }
            #expect(architecture.cost(under: mask) == removal.graph.cost())
        }
    }
}

@Test func aStreamsChannelIsGoneOnlyWhereNoShortcutBringsItAnything() throws {
    let architecture = publishedResNet(20)
    let space = FilterSpace(architecture)
    func filter(_ layer: String, _ index: Int) -> Int { (space.layer(named: layer)?.filters.lowerBound ?? 0) + index }

    // Channel 0 of the first stage, in the stem and in each block: everything that touches it goes.
    let group = ["conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"].map { filter($0, 0) }
    let all = architecture.cost(under: Mask(count: space.count, disabled: group))
    #expect(try all == Removal(architecture, removing: Mask(count: space.count, disabled: group)).graph.cost())

    // In one block only, the shortcut still brings the channel to the next block.
    let one = architecture.cost(under: Mask(count: space.count, disabled: [filter("layer1.1.conv2", 0)]))
    let whole = architecture.cost()
    #expect(whole.multiplyAccumulates - one.multiplyAccumulates == 9 * 16 * 1024)

    let everything = architecture.cost(under: Mask(count: space.count, disabled: 0..<space.count))
    #expect(everything.parameters == 10)
    #expect(everything.multiplyAccumulates == 0)
}

@Test func normsSumTheAbsoluteWeightsOfAFilter() {
    let layers = [
        LinearChain.Linear(name: "a", input: 3, output: 2),
        LinearChain.Linear(name: "b", input: 2, output: 10),
    ]
    let network = Network(
        graph: .fullyConnected(LinearChain(layers: layers)),
        parameters: [
            "a.weight": Tensor(shape: [2, 3], values: [1, -2, 3, -4, 5, -6.5]),
            "a.bias": Tensor(shape: [2], values: [100, 100]),
            "b.weight": Tensor(shape: [10, 2], values: [Float](repeating: 1, count: 20)),
            "b.bias": Tensor(shape: [10], values: [Float](repeating: 1, count: 10)),
        ])
    #expect(network.l1Norms == [6, 15.5])
}
