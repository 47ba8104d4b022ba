import Shared

/// Executes schedules: on processors, or on another kind of device in a folder beside theirs. A schedule says what is
/// computed from what, in which order and in which lines of memory; a backend defines a line, and computes.
protocol Backend: AnyObject {
    /// A schedule in the backend's form.
    associatedtype Program: AnyObject

    /// The network in stages.
    var stages: Stages { get }
    /// The memory of the parameters.
    var parameterBytes: Int { get }
    /// Images in a block of one group.
    var lanes: Int { get }

    /// Why it cannot run a network, or nil if it can.
    static func refusal(of stages: Stages) -> String?

    /// The stages whose norms follow from this kind of statistics.
    func measured(_ source: EvaluationSettings.BatchNorm.Source) -> Set<Int>

    /// Prepares a schedule. Programs of one tree prepared with the same storage share the nodes' norms.
    func program(_ schedule: Schedule, storage: Storage) -> Program

    /// The memory of a program with `copies` blocks of images at once.
    func bytes(_ program: Program, copies: Int) -> Int

    /// Takes statistics of images, stage by stage, and sets the norms that `norm` makes of them. Starts from kept
    /// values, and keeps some. Throws `CancellationError` if it was cancelled, or a ``Failure``.
    func calibrate(
        _ program: Program, _ images: PreparedImages, _ normalisation: Normalisation, from start: KeptPrefix.Values?,
        keeping next: KeptPrefix.Values?, isCancelled: () -> Bool,
        norm: @escaping (_ stage: Int, _ channel: Int, _ measured: ChannelStatistics) -> (scale: Float, shift: Float)?
    ) throws

    /// The evaluations of the tree's masks, by the images' labels or, if given, by answers. Throws likewise.
    func evaluate(
        _ program: Program, _ images: PreparedImages, _ normalisation: Normalisation, by answers: Answers?,
        from start: KeptPrefix.Values?, keeping next: KeptPrefix.Values?, masks: Int, isCancelled: () -> Bool
    ) throws -> [Evaluation]

    /// The outputs under the only mask of a program's tree. Throws likewise.
    func answers(
        _ program: Program, _ images: PreparedImages, _ normalisation: Normalisation, isCancelled: () -> Bool
    ) throws -> Answers
}
