import Shared

/// Looks at whether a network recognises the images at all before a run spends hours on it: a wrong normalisation or
/// order of labels shows here, and nowhere later.
struct RecognitionCheck {
    /// Images that are looked at.
    private static let imagesMax = 256

    let data: DataSet
    let settings: EvaluationSettings

    /// Evaluates the network of a checkpoint. Where it is right hardly more often than chance, says so with what may be
    /// wrong: as a `.badInput` ``Failure``, or as a line where the user wants to go on anyway. Does nothing on a host
    /// without `winnow-worker`.
    func check(_ model: String, goingOnAnyway anyway: Bool) throws {
        guard let worker = try? WorkerProcess.find(threads: nil) else { return }
        var settings = settings
        settings.images = min(settings.images, Self.imagesMax)
        settings.batchNorm = .frozen
        let measured = try worker.evaluate(model, data: data.source, settings)
        let classes = data.layout.classes
        guard Double(measured.correct) < Self.expected(classes: classes) * Double(measured.images) else { return }
        let causes = [
            "--mean and --deviation (\(settings.normalisation))", "the order of the channels (red, green, blue)",
            "the order of the labels", "a data set of other classes",
        ]
        let words =
            "the network is right on \(measured.correct) of \(measured.images) images, hardly more than by chance (1 in "
            + "\(classes)); look at \(causes.joined(separator: ", "))"
        guard anyway else { throw Failure(.badInput, "\(words), or go on with --anyway") }
        Log.shared.line(words)
    }

    /// The share of images on which a network that knows something is right: twice that of chance, or with few classes
    /// half of what chance leaves.
    static func expected(classes: Int) -> Double {
        let chance = 1 / Double(max(classes, 1))
        return min(2 * chance, (1 + chance) / 2)
    }
}
