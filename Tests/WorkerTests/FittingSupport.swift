import Shared
import TestSupport

@testable import Worker

extension FittingImages {
    /// Images as a network's inputs.
    convenience init(
        _ images: ImageSet, for network: Network, threads: Int = 2,
        memoryBytesMax: Int = Engine.memoryBytesDefault
    ) throws {
        try self.init(
            images, for: network.graph, normalisation: .standard, threads: threads, memoryBytesMax: memoryBytesMax)
    }
}

extension Network {
    /// The network without a mask's filters, refitted on some images.
    func reconstructed(removing mask: Mask, on images: ImageSet) throws -> Network {
        try Reconstruction(self, removing: mask, images: FittingImages(images, for: self)).network()
    }

    /// The mean squared difference of its outputs from another network's.
    func distance(from other: Network, on images: ImageSet) -> Double {
        let inputs = images.inputs(.standard)
        let (a, b) = (ReferenceForward(self).outputs(inputs), ReferenceForward(other).outputs(inputs))
        let differences = zip(a.joined(), b.joined()).map { ($0 - $1) * ($0 - $1) }
        return differences.reduce(0, +) / Double(differences.count)
    }

    /// The mean cross-entropy on images.
    func loss(on images: ImageSet) -> Double {
        images.crossEntropy(ReferenceForward(self).outputs(images.inputs(.standard))).loss
    }

    /// Makes some filters of a layer without batch norm weighted sums of others, so their outputs are the same sums.
    func combining(_ layer: String, _ sums: [Int: [(filter: Int, weight: Float)]]) -> Network {
        var parameters = parameters
        for role in ["weight", "bias"] {
            guard let tensor = parameters["\(layer).\(role)"] else { continue }
            let size = tensor.values.count / tensor.shape[0]
            var values = tensor.values
            for (filter, terms) in sums {
                for index in 0..<size {
                    values[filter * size + index] = terms.reduce(0) {
                        $0 + $1.weight * tensor.values[$1.filter * size + index]
                    }
                }
            }
            parameters["\(layer).\(role)"] = Tensor(shape: tensor.shape, values: values)
        }
        return Network(graph: graph, parameters: parameters)
    }
}
