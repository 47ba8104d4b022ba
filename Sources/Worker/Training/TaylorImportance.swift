import Foundation
import Shared

/// The first-order Taylor importance of every filter (Molchanov et al. 2019, "Importance estimation for neural network
/// pruning", equation 8, with gates after the batch normalisation and, for hidden filters, the ReLU):
///
///     importance(filter) = mean over images of (d loss of the image / d gate of the filter)²
///
/// A gate multiplies the filter's output; removing the filter sets it from 1 to 0, so the derivative is the first-order
/// estimate of the change. Batch norms keep their running statistics, so that images do not influence one another.
enum TaylorImportance {
    /// Images whose gradients are computed at a time.
    private static let chunk = 32

    /// The importance of each filter, layer by layer in the order of ``FilterSpace``; the same bits for any number of
    /// threads. Throws a ``Failure``.
    static func ofFilters(
        _ network: Network, images: ImageSet, normalisation: Normalisation, threads: Int
    ) throws -> [[Double]] {
        let loader = ImageLoader(images, normalisation)
        let parameters = ShardTrainer.Parameters(network)
        let ranges = stride(from: 0, to: images.count, by: chunk).map { $0..<min($0 + chunk, images.count) }
        let next = Locked(0)
        let results = Locked<[Int: Result<[[Double]], any Error>]>([:])
        try onThreads(min(threads, ranges.count)) { _ in
            var trainers: [Int: ShardTrainer] = [:]
            while true {
                let index = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard index < ranges.count else { return }
                let size = ranges[index].count
                let trainer =
                    trainers[size]
                    ?? ShardTrainer(
                        network.graph, images: loader, loss: TrainingLoss(), teacher: nil, shardSize: size)
                trainers[size] = trainer
                let result = Result { try trainer.squaredGateGradients(of: ranges[index], with: parameters) }
                results.withLock { $0[index] = result }
            }
        }
        var sums = FilterSpace(network.graph).layers.map { [Double](repeating: 0, count: $0.filters.count) }
        let all = results.withLock { $0 }
        for index in ranges.indices {
            guard let part = try all[index]?.get() else { continue }
            for layer in sums.indices {
                for filter in sums[layer].indices { sums[layer][filter] += part[layer][filter] }
            }
        }
        return sums.map { $0.map { $0 / Double(images.count) } }
    }
}
