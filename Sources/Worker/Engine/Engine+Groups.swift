import Shared

extension Engine {
    /// The evaluations of masks, in their order, if every mask belongs to a group with its own images. Masks of a group
    /// should be neighbours: they are evaluated together.
    ///
    /// - Parameters:
    ///   - groups: the group of each mask.
    ///   - images: the images of a group.
    ///   - calibration: the images to calibrate with; nil for the first ones of the group's.
    /// - Throws: as ``evaluate(_:images:calibration:settings:isCancelled:)``.
    func evaluate(
        _ masks: [Mask], groups: [Int], images: (Int) -> ImageSet, calibration: ImageSet?,
        settings: EvaluationSettings, isCancelled: () -> Bool = { false }
    ) throws -> [Evaluation] {
        var evaluations: [Evaluation] = []
        while evaluations.count < masks.count {
            let start = evaluations.count
            let end = groups[start...].firstIndex { $0 != groups[start] } ?? masks.count
            let own = images(groups[start])
            evaluations += try evaluate(
                Array(masks[start..<end]), images: own, calibration: calibration ?? own, settings: settings,
                isCancelled: isCancelled)
        }
        return evaluations
    }
}
