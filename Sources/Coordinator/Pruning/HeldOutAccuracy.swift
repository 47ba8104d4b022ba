import Foundation
import Shared

/// Training images that choose how much is removed, and nothing else.
struct HeldOutAccuracy {
    /// How many, the last ones of the training images.
    let count: Int
    private let skipped: Int
    private let normalisation: Normalisation
    private let jobs: NetworkJobs

    /// The last images of a training set. `used` says how many of its first images adapt networks. Throws a `.badInput`
    /// ``Failure`` where both are the same images.
    init(_ count: Int, of data: DataSet, used: Int, normalisation: Normalisation, jobs: NetworkJobs) throws {
        skipped = try data.count(.train) - count
        guard count > 0, skipped > 0, used <= skipped else {
            throw Failure(
                .badInput,
                "\(data.source.path) has \(skipped + count) training images: not enough to hold out \(count) besides the "
                    + "\(used) that adapt the network; give another --validation-images or --calibration-images")
        }
        self.count = count
        self.normalisation = normalisation
        self.jobs = jobs
    }

    /// The share of the images that a network recognises.
    func callAsFunction(_ network: Network) throws -> Double {
        let settings = EvaluationSettings(
            split: .train, images: count, batchNorm: .frozen, normalisation: normalisation)
        let measured = try jobs.evaluate(network, settings, skipping: skipped)
        return Double(measured.correct) / Double(count)
    }
}
