import Shared

/// Checks how well a network recognises the images before hours are spent on it: a wrong forward pass, normalisation or
/// order of labels shows here, and nowhere later.
struct RecognitionCheck {
    /// Images to evaluate in any case.
    private static let imagesMin = 256
    /// Multiply-accumulates to spend beyond them: 4,096 images of ResNet-56, a few seconds.
    private static let costMax = 500_000_000_000
    /// The least difference from the expected accuracy, in percentage points, at which a network counts as a different
    /// one: libraries round differently, and so do people.
    private static let toleranceMin = 0.5
    private static let standardErrors = 3.0

    let network: Network
    let data: DataSet
    /// The run's images, and how they become inputs.
    let settings: EvaluationSettings
    /// Who evaluates it; nil on a host without `winnow-worker`, where nothing is checked.
    let jobs: NetworkJobs?

    /// Evaluates the unmasked network and says how well it does. Where it is right hardly more often than chance, or not as
    /// often as is expected, says so with what may be wrong: as a `.badInput` ``Failure``, or as a line where the user
    /// wants to go on anyway.
    func check(_ options: RecognitionOptions) throws {
        // Ignored labels may be of other classes.
        if settings.labels == .network, options.expectAccuracy == nil { return }
        guard let jobs else { return }
        let measured = try measure(settings.split, atMost: settings.images, jobs)
        Log.shared.line("unmasked: \(words(measured))")
        if settings.labels == .given { try checkChance(measured, options) }
        guard let expected = options.expectAccuracy else { return }
        // What people know of a network is its accuracy on test images.
        let split: EvaluationSettings.Split = data.splits.contains(.test) ? .test : settings.split
        let count = try data.count(split)
        let known = try measure(split, atMost: count, jobs)
        try checkExpectation(known, expected: expected, isSample: known.images < count)
    }

    private func measure(
        _ split: EvaluationSettings.Split, atMost count: Int, _ jobs: NetworkJobs
    ) throws -> PruningRecord.Measurement {
        var settings = settings
        settings.split = split
        let affordable = Self.costMax / max(network.graph.cost().multiplyAccumulates, 1)
        settings.images = min(count, max(Self.imagesMin, affordable))
        settings.rotation = nil
        settings.batchNorm = .frozen
        settings.labels = .given
        return try jobs.evaluate(network, settings)
    }

    private func words(_ measured: PruningRecord.Measurement) -> String {
        "loss \(Text.fixed(measured.loss, 4)), \(Text.percent(measured.accuracy, 2)) right on the first "
            + "\(Text.grouped(measured.images)) \(measured.split) images"
    }

    private func checkChance(_ measured: PruningRecord.Measurement, _ options: RecognitionOptions) throws {
        let classes = data.layout.classes
        guard Double(measured.correct) < Self.expected(classes: classes) * Double(measured.images) else { return }
        let words =
            "the network is right on \(measured.correct) of \(measured.images) images, hardly better than "
            + "chance (1 in \(classes)); check \(causes)"
        guard options.anyway else { throw Failure(.badInput, "\(words), or continue with --anyway") }
        Log.shared.line(words)
    }

    private func checkExpectation(
        _ measured: PruningRecord.Measurement, expected: Double, isSample: Bool
    ) throws {
        let tolerance = Self.tolerance(expected: expected, images: isSample ? measured.images : nil)
        Log.shared.line("unmasked: \(words(measured))")
        guard abs(100 * measured.accuracy - expected) > tolerance else { return }
        throw Failure(
            .badInput,
            "the network is right on \(Text.percent(measured.accuracy, 2)) of \(Text.grouped(measured.images)) "
                + "\(measured.split) images, not on the \(expected) % that --expect-accuracy says (within "
                + "\(Text.fixed(tolerance, 1))); check \(causes)")
    }

    private var causes: String {
        let forwardPass = network.facts.assumptions.map { ["the forward pass (\($0))"] } ?? []
        let causes =
            forwardPass + [
                "--mean and --deviation (\(settings.normalisation))", "the order of the channels (red, green, blue)",
                "the order of the labels", "a data set of other classes",
            ]
        return causes.joined(separator: ", ")
    }

    /// The allowed deviation from the expected accuracy, in percentage points, if measured on a sample of this many
    /// images, or on all.
    static func tolerance(expected: Double, images: Int?) -> Double {
        guard let images else { return toleranceMin }
        // With an expected accuracy of 100 %, one just below it has a standard error too.
        let share = min(max(expected / 100, 0.01), 0.99)
        return max(toleranceMin, standardErrors * 100 * (share * (1 - share) / Double(max(images, 1))).squareRoot())
    }

    /// The least accuracy of a network that has learnt something: twice chance, or with few classes half of what chance
    /// leaves.
    static func expected(classes: Int) -> Double {
        let chance = 1 / Double(max(classes, 1))
        return min(2 * chance, (1 + chance) / 2)
    }
}
