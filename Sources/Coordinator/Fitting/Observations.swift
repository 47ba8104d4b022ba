import Foundation
import Shared

/// What the additive model explains.
public enum Response: String, Sendable, Codable, CaseIterable, ArgumentValue {
    /// The natural logarithm of the mean cross-entropy: effects on a loss multiply more than they add.
    case logLoss = "log-loss"
    /// The mean cross-entropy, in nats.
    case loss

    /// The response of an evaluation; nil if no image was evaluated.
    func value(of evaluation: Evaluation) -> Double? {
        guard evaluation.images > 0 else { return nil }
        switch self {
        // A loss below the unit of the sum counts as one unit, since a logarithm needs more than zero.
        case .logLoss:
            return log(Double(max(evaluation.lossSum, 1)) / Evaluation.unitsPerNat / Double(evaluation.images))
        case .loss: return evaluation.loss
        }
    }

    /// The loss, in nats, of a response.
    public func loss(_ value: Double) -> Double { self == .logLoss ? exp(value) : value }
}

/// The evaluated masks of an ensemble, in the order of their indices.
struct Observations: Sendable {
    /// The masks' source.
    let ensemble: Ensemble
    /// Which images each mask saw, if they differ.
    let rotation: ImageRotation?
    /// The evaluated masks, ascending.
    let indices: [Int]
    /// Their responses.
    let responses: [Double]

    /// Extracts the evaluated masks from a run's evaluations, one place per mask.
    init(_ ensemble: Ensemble, evaluations: [Evaluation?], response: Response, rotation: ImageRotation? = nil) {
        self.ensemble = ensemble
        self.rotation = rotation
        var indices: [Int] = []
        var responses: [Double] = []
        for (index, evaluation) in evaluations.prefix(ensemble.count).enumerated() {
            guard let evaluation, let value = response.value(of: evaluation) else { continue }
            indices.append(index)
            responses.append(value)
        }
        self.indices = indices
        self.responses = responses
    }

    private init(_ other: Observations, responses: [Double]) {
        (ensemble, rotation, indices) = (other.ensemble, other.rotation, other.indices)
        self.responses = responses
    }

    /// How many neighbouring masks share layers or images: those of different groups are independent.
    var groupSize: Int { rotation?.masks ?? ensemble.groupSize }

    /// For each mask's value, the mean over masks that see the same images; nil if all masks see the same.
    func groupMeans(of values: [Double]) -> [Double]? {
        guard let rotation else { return nil }
        var means = values
        var start = 0
        while start < indices.count {
            let group = rotation.group(of: indices[start])
            var end = start
            while end < indices.count, rotation.group(of: indices[end]) == group { end += 1 }
            let mean = values[start..<end].reduce(0, +) / Double(end - start)
            for position in start..<end { means[position] = mean }
            start = end
        }
        return means
    }

    /// The same, with each group of masks that see the same images shifted to the mean response of all.
    var evenedOut: Observations {
        guard let means = groupMeans(of: responses) else { return self }
        let mean = self.mean
        return Observations(self, responses: zip(responses, means).map { $0 - $1 + mean })
    }

    /// The mean response.
    var mean: Double { responses.reduce(0, +) / Double(max(responses.count, 1)) }

    /// The responses' variance about their mean.
    var variance: Double {
        let mean = self.mean
        return responses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(responses.count, 1))
    }

    /// Calls `body` with the position, the mask and the response of every evaluated mask, in order.
    func forEach(_ body: (Int, Mask, Double) -> Void) {
        let stretch = 1024
        var position = 0
        while position < indices.count {
            let first = indices[position]
            let last = min(first / stretch * stretch + stretch, ensemble.count)
            let masks = ensemble.masks(first..<last)
            while position < indices.count, indices[position] < last {
                body(position, masks[indices[position] - first], responses[position])
                position += 1
            }
        }
    }
}
