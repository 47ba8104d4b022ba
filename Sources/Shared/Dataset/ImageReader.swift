/// A place where images are stored in some format, inspected but not read yet.
protocol ImageReader: Sendable {
    /// The form.
    var format: ImageFormat { get }
    /// The common properties of the images.
    var layout: ImageLayout { get }
    /// Whether training and test images are separate. If not, all images count as either split.
    var hasSplits: Bool { get }
    /// Whether there are images of a split, whatever is wrong with them.
    func has(_ split: EvaluationSettings.Split) -> Bool
    /// Whether it is known what the images show. Where not, all have label 0.
    var hasLabels: Bool { get }
    /// How networks for such images usually normalise them.
    var normalisation: Normalisation { get }
    /// Whether a mirrored image keeps its class.
    var mayBeMirrored: Bool { get }
    /// Where the first label is that is `least` or more; nil where that is not known, or there is none.
    func place(ofLabelFrom least: Int) -> String?
    /// How many images a split has. Throws a `.badInput` ``Failure`` where it is not there.
    func count(_ split: EvaluationSettings.Split) throws -> Int
    /// Reads the first `count` images of a split, which exist according to ``count(_:)``.
    func read(_ split: EvaluationSettings.Split, count: Int) throws -> ImageSet
}

extension ImageReader {
    var hasSplits: Bool { true }
    var hasLabels: Bool { true }
    var mayBeMirrored: Bool { true }

    func place(ofLabelFrom least: Int) -> String? { nil }
}
