import Shared

/// A fully connected network laid out for training.
final class FullyConnectedPlan: TrainingPlan {
    let images: Int
    let input: AlignedBuffer
    let channelsLast = false
    let gradient: AlignedBuffer
    private let layers: [DenseLayer]
    private let parameters: AlignedBuffer
    private let layout: ParameterLayout

    var logits: AlignedBuffer { layers[layers.count - 1].y }
    var logitsGradient: AlignedBuffer { layers[layers.count - 1].yGradient }

    init(_ architecture: LinearChain, _ graph: Graph, images: Int) {
        precondition(!architecture.layers.isEmpty, "a network has layers")
        self.images = images
        layout = ParameterLayout(graph)
        parameters = AlignedBuffer(count: layout.trainedCount)
        gradient = AlignedBuffer(count: layout.trainedCount)
        input = AlignedBuffer(count: images * architecture.layers[0].input)
        var layers: [DenseLayer] = []
        for (index, layer) in architecture.layers.enumerated() {
            layers.append(
                DenseLayer(
                    images: images, input: layer.input, output: layer.output,
                    relu: index < architecture.layers.count - 1, x: layers.last?.y.pointer ?? input.pointer,
                    weights: parameters.pointer + layout.trained[2 * index].range.lowerBound,
                    bias: parameters.pointer + layout.trained[2 * index + 1].range.lowerBound))
        }
        self.layers = layers
    }

    func load(trained: [Float], statistics: [Float]) { parameters.assign(trained) }

    func forward(_ statistics: NormalisationStatistics) throws {
        OneDNN.useOneThread()
        for layer in layers { try layer.forward() }
    }

    func backward(gates: ((Int, UnsafeMutableBufferPointer<Float>) -> Void)?) throws {
        OneDNN.useOneThread()
        for (index, layer) in layers.enumerated().reversed() {
            if let gates, index < layers.count - 1 {
                // A neuron is one pixel, so its gate's gradient is its output's gradient times its output.
                var products = layer.y.values
                for position in products.indices { products[position] *= layer.yGradient.pointer[position] }
                products.withUnsafeMutableBufferPointer { gates(index, $0) }
            }
            try layer.backward(
                weightGradient: gradient.pointer + layout.trained[2 * index].range.lowerBound,
                biasGradient: gradient.pointer + layout.trained[2 * index + 1].range.lowerBound,
                inputGradient: index > 0 ? layers[index - 1].yGradient.pointer : nil)
        }
    }

    func batchStatistics() -> [Float] { [] }
}
