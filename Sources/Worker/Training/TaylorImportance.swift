import Foundation
import Shared

/// The first-order Taylor importance of every filter (Molchanov et al. 2019, "Importance estimation for neural network
/// pruning", equation 8):
///
///     importance(filter) = mean over images of (d loss of the image / d gate of the filter)²
///
/// A gate is a factor of the filter's channel wherever its absence would end (``GateEnds``): behind batch normalisation and
/// activation, before a shortcut is added, at every layer that reads the channel. Removing the filter sets it from 1 to 0,
/// so the derivative is the first-order estimate of the change. Batch norms keep their running statistics, so that images do not influence one another.
enum TaylorImportance {
    /// Images whose gradients are computed at a time: fewer where they are large, so that memory stays bounded.
    private static func chunk(_ image: Shape) -> Int { max(1, min(32, 32 * 96 * 96 / image.pixels)) }

    /// The importance of each filter, layer by layer in the order of ``FilterSpace``; the same bits for any number of
    /// threads. Throws a ``Failure``.
    static func ofFilters(
        _ network: Network, images: ImageSet, normalisation: Normalisation, threads: Int
    ) throws -> [[Double]] {
        let sums = try sums(network, images: images, normalisation: normalisation, threads: threads)
        return FilterSpace(network.graph).layers.map { layer in
            layer.filters.map { sums[$0] / Double(images.count) }
        }
    }

    /// The same as sums over the images, of each filter by its number.
    static func sums(
        _ network: Network, images: ImageSet, normalisation: Normalisation, threads: Int
    ) throws -> [Double] {
        let loader = ImageLoader(images, normalisation)
        let parameters = ShardTrainer.Parameters(network)
        let chunk = chunk(network.graph.imageShape)
        let ranges = stride(from: 0, to: images.count, by: chunk).map { $0..<min($0 + chunk, images.count) }
        let next = Locked(0)
        let results = Locked<[Int: Result<[Double], any Error>]>([:])
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
        var sums = [Double](repeating: 0, count: FilterSpace(network.graph).count)
        let all = results.withLock { $0 }
        for index in ranges.indices {
            guard let part = try all[index]?.get() else { continue }
            for filter in sums.indices { sums[filter] += part[filter] }
        }
        return sums
    }
}
