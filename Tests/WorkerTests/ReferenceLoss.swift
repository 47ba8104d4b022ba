import Foundation
import Shared
import TestSupport

@testable import Worker

extension ReferenceForward {
    /// The sum of the images' losses, cross-entropies with smoothed labels, in double precision.
    func lossSum(_ images: ImageSet, _ loss: TrainingLoss) -> Double {
        let inputs = (0..<images.count).map { images.input($0, .standard) }
        return outputs(inputs).enumerated().reduce(0) { sum, image in
            let logits = image.element
            let largest = logits.max() ?? 0
            let norm = largest + log(logits.reduce(0) { $0 + exp($1 - largest) })
            let smoothing = Double(loss.labelSmoothing)
            return logits.indices.reduce(sum) { sum, output in
                let target =
                    smoothing / Double(logits.count) + (output == images.label(image.offset) ? 1 - smoothing : 0)
                return sum - target * (logits[output] - norm)
            }
        }
    }
}

extension Network {
    /// The network with one value changed.
    func changing(_ name: String, _ index: Int, to value: Float) -> Network {
        var parameters = parameters
        let tensor = self[name]
        var values = tensor.values
        values[index] = value
        parameters[name] = Tensor(shape: tensor.shape, values: values)
        return Network(graph: graph, parameters: parameters)
    }
}
