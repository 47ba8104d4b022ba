import Foundation
import Shared

/// Training's forward pass as its definition reads, in double precision: slow, and without anything in common with the
/// engine.
struct ReferenceTraining {
    let architecture: Graph
    let loss: TrainingLoss

    /// An activation of one image: `[channel][row * size + column]`.
    typealias Activation = [[Double]]

    /// The sum of the images' losses with the batch's own statistics. `images` are `[channel][pixel]` each.
    func lossSum(_ images: [Activation], labels: [Int], parameters: [String: [Double]]) -> Double {
        let logits: [[Double]]
        guard let known = try? Architecture(architecture, for: "a test") else { preconditionFailure("unknown") }
        switch known {
        case .residual(let residual): logits = outputs(residual, images, parameters)
        case .fullyConnected(let connected): logits = outputs(connected, images, parameters)
        }
        return zip(logits, labels).reduce(0) { $0 + imageLoss($1.0, label: $1.1) }
    }

    private func imageLoss(_ logits: [Double], label: Int) -> Double {
        let sum = logits.reduce(0) { $0 + exp($1) }
        let smoothing = Double(loss.labelSmoothing)
        return logits.indices.reduce(0) { total, output in
            let target = smoothing / Double(logits.count) + (output == label ? 1 - smoothing : 0)
            return total - target * log(exp(logits[output]) / sum)
        }
    }

    private func outputs(
        _ network: CIFARResNet, _ images: [Activation], _ parameters: [String: [Double]]
    ) -> [[Double]] {
        func named(_ name: String) -> [Double] { parameters[name] ?? [] }
        var size = network.imageSize
        var x = images.map { convolve($0, size, 1, named("conv1.weight"), network.stem) }
        x = normalise(x, named("bn1.weight"), named("bn1.bias")).map(rectify)
        for block in network.blocks {
            let half = (size - 1) / block.stride + 1
            var y = x.map { convolve($0, size, block.stride, named("\(block.name).conv1.weight"), block.hidden) }
            y = normalise(y, named("\(block.name).bn1.weight"), named("\(block.name).bn1.bias")).map(rectify)
            y = y.map { convolve($0, half, 1, named("\(block.name).conv2.weight"), block.output) }
            y = normalise(y, named("\(block.name).bn2.weight"), named("\(block.name).bn2.bias"))
            for image in x.indices {
                for channel in 0..<block.output {
                    guard let source = block.shortcut[channel] else { continue }
                    for row in 0..<half {
                        for column in 0..<half {
                            y[image][channel][row * half + column] +=
                                x[image][source][row * block.stride * size + column * block.stride]
                        }
                    }
                }
            }
            x = y.map(rectify)
            size = half
        }
        let weights = named("linear.weight")
        let bias = named("linear.bias")
        return x.map { image in
            let pooled = image.map { $0.reduce(0, +) / Double($0.count) }
            return linear(pooled, weights, bias)
        }
    }

    private func outputs(
        _ network: LinearChain, _ images: [Activation], _ parameters: [String: [Double]]
    ) -> [[Double]] {
        images.map { image in
            var x = image.flatMap { $0 }
            for (index, layer) in network.layers.enumerated() {
                x = linear(x, parameters["\(layer.name).weight"] ?? [], parameters["\(layer.name).bias"] ?? [])
                if index < network.layers.count - 1 { x = x.map { max($0, 0) } }
            }
            return x
        }
    }

    private func linear(_ x: [Double], _ weights: [Double], _ bias: [Double]) -> [Double] {
        bias.indices.map { output in
            x.indices.reduce(bias[output]) { $0 + weights[output * x.count + $1] * x[$1] }
        }
    }

    private func rectify(_ x: Activation) -> Activation { x.map { $0.map { max($0, 0) } } }

    private func convolve(
        _ x: Activation, _ size: Int, _ stride: Int, _ weights: [Double], _ outputs: Int
    ) -> Activation {
        let half = (size - 1) / stride + 1
        return (0..<outputs).map { output in
            var y = [Double](repeating: 0, count: half * half)
            for input in x.indices {
                for tap in 0..<9 {
                    let weight = weights[(output * x.count + input) * 9 + tap]
                    for row in 0..<half {
                        let from = row * stride + tap / 3 - 1
                        guard (0..<size).contains(from) else { continue }
                        for column in 0..<half {
                            let along = column * stride + tap % 3 - 1
                            guard (0..<size).contains(along) else { continue }
                            y[row * half + column] += weight * x[input][from * size + along]
                        }
                    }
                }
            }
            return y
        }
    }

    private func normalise(_ x: [Activation], _ scale: [Double], _ shift: [Double]) -> [Activation] {
        var y = x
        for channel in scale.indices {
            let values = x.flatMap { $0[channel] }
            let mean = values.reduce(0, +) / Double(values.count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
            for image in x.indices {
                y[image][channel] = x[image][channel].map {
                    ($0 - mean) / (variance + Double(Network.batchNormEpsilon)).squareRoot() * scale[channel]
                        + shift[channel]
                }
            }
        }
        return y
    }
}
