import Foundation
import Shared

/// A loaded run of masks: its engine and images, and the ensemble to draw its masks from.
final class MaskBench {
    private let settings: EvaluationSettings
    private let engine: Engine
    private let pool: ImageSet
    private let calibrationImages: ImageSet?
    private var masks: MaskSource
    /// The images of the latest group of masks.
    private var own: (group: Int, images: ImageSet)?

    /// Loads a run. Throws a `.badInput` ``Failure`` if the coordinator's files are not as announced, or this program
    /// draws other masks.
    init(_ work: MaskWork, from library: BlobLibrary, threads: Int) throws {
        let network = try Checkpoint.network(
            bytes: library.take(work.network), name: "the coordinator's network", note: { _ in })
        let space = FilterSpace(network.graph)
        guard space.count == work.filters else {
            throw Failure(.badInput, "the coordinator's network has \(space.count) filters, not \(work.filters)")
        }
        func images(_ blob: CoordinatorMessage.Blob) throws -> ImageSet {
            let set = try ImageSet(blob: library.take(blob), name: "the coordinator's images")
            try set.check(fits: network.graph)
            try set.check(work.settings.normalisation)
            return set
        }
        settings = work.settings
        pool = try images(work.images)
        guard pool.count >= settings.pool else {
            throw Failure(
                .badInput, "the coordinator has \(pool.count) images, not the announced \(settings.pool)")
        }
        calibrationImages = try work.calibrationImages.map(images)
        masks = MaskSource(try Self.ensemble(work, space))
        engine = try Engine(network: network, threads: threads)
    }

    private static func ensemble(_ work: MaskWork, _ space: FilterSpace) throws -> Ensemble {
        guard let ensemble = try? JSONDecoder().decode(Ensemble.self, from: Data(work.ensemble)) else {
            throw Failure(.badInput, "the coordinator's ensemble cannot be read")
        }
        try ensemble.check(against: space)
        guard ensemble.count == work.masks, ensemble.sample == work.sample else {
            throw Failure(
                .badInput, "this program draws other masks than the coordinator; install the same release on all hosts")
        }
        return ensemble
    }

    /// Evaluates masks, each on the images of its group.
    func evaluate(_ indices: MaskRuns, isCancelled: () -> Bool) throws -> [MaskEvaluation] {
        let evaluations = try engine.evaluate(
            masks.masks(indices), groups: indices.map { settings.rotation?.group(of: $0) ?? 0 }, images: images,
            calibration: calibrationImages, settings: settings, isCancelled: isCancelled)
        return zip(indices, evaluations).map { MaskEvaluation(mask: $0, evaluation: $1) }
    }

    /// The images of a group of masks.
    private func images(of group: Int) -> ImageSet {
        guard settings.rotation != nil else { return pool }
        if let own, own.group == group { return own.images }
        let images = pool.picking(settings.images(ofGroup: group))
        own = (group, images)
        return images
    }
}
