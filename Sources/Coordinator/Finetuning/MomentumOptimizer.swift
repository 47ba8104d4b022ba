import Shared

/// Stochastic gradient descent with momentum, as PyTorch's `SGD` defines it: `v = m v + (g + d w)`, `w -= r v`, with
/// Nesterov's momentum `w -= r (g + d w + m v)`.
struct MomentumOptimizer: Sendable, Equatable {
    /// Its settings.
    struct Settings: Sendable, Hashable, Codable {
        var momentum: Float = 0.9
        var nesterov = false
        var weightDecay: Float = 1e-4
        /// Whether the scales and shifts of batch normalisations decay too.
        var decaysNormalisation = false
    }

    /// The share of the batch's statistics in the running ones, PyTorch's default.
    static let statisticsMomentum: Float = 0.1

    let settings: Settings
    /// The velocities v, in the order of ``ParameterLayout/trained``.
    var velocities: [Float]

    init(_ settings: Settings, count: Int) {
        self.settings = settings
        velocities = [Float](repeating: 0, count: count)
    }

    /// One step. `gradient` is the mean over the images.
    mutating func step(_ parameters: inout [Float], gradient: [Float], rate: Float, layout: ParameterLayout) {
        precondition(parameters.count == velocities.count && gradient.count == velocities.count, "one value for each")
        let momentum = settings.momentum
        let nesterov = settings.nesterov
        for entry in layout.trained {
            let decay = entry.kind == .normalisation && !settings.decaysNormalisation ? 0 : settings.weightDecay
            parameters.withUnsafeMutableBufferPointer { parameters in
                gradient.withUnsafeBufferPointer { gradient in
                    velocities.withUnsafeMutableBufferPointer { velocities in
                        for index in entry.range {
                            let slope = gradient[index] + decay * parameters[index]
                            let velocity = momentum * velocities[index] + slope
                            velocities[index] = velocity
                            parameters[index] -= rate * (nesterov ? slope + momentum * velocity : velocity)
                        }
                    }
                }
            }
        }
    }

    /// The sum of the shards' gradients, divided by the number of their images. The order is that of the shards, so the
    /// result has the same bits whoever computed them.
    static func mean(of shards: [ShardGradient]) -> [Float] {
        guard var sum = shards.first?.gradient else { return [] }
        for shard in shards.dropFirst() {
            sum.withUnsafeMutableBufferPointer { sum in
                shard.gradient.withUnsafeBufferPointer { values in
                    for index in sum.indices { sum[index] += values[index] }
                }
            }
        }
        let share = 1 / Float(shards.reduce(0) { $0 + $1.images })
        for index in sum.indices { sum[index] *= share }
        return sum
    }

    /// Moves running statistics towards those of a step's images: the mean of the shards' means, and the mean of their
    /// variances plus the variance of their means.
    static func update(_ running: inout [Float], with shards: [ShardGradient], layout: ParameterLayout) {
        let share = 1 / Float(shards.count)
        for pair in stride(from: 0, to: layout.statistics.count, by: 2) {
            let means = layout.statistics[pair].range
            let variances = layout.statistics[pair + 1].range
            for (meanIndex, varianceIndex) in zip(means, variances) {
                let mean = shards.reduce(0) { $0 + $1.statistics[meanIndex] } * share
                let variance = shards.reduce(Float(0)) { sum, shard in
                    let distance = shard.statistics[meanIndex] - mean
                    return sum + shard.statistics[varianceIndex] + distance * distance
                }
                running[meanIndex] += statisticsMomentum * (mean - running[meanIndex])
                running[varianceIndex] += statisticsMomentum * (variance * share - running[varianceIndex])
            }
        }
    }
}
