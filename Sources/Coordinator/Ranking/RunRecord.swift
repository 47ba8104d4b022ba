import Foundation
import Shared

/// Everything that a report contains about a run.
public struct RunRecord: Sendable {
    /// The run file; nil if there is none.
    public let path: String?
    /// What was evaluated and how it was made.
    public let description: RunDescription
    /// The network that was ranked.
    public let network: Network
    /// The evaluation of each mask of the ensemble; nil if there is none (yet).
    public let evaluations: [Evaluation?]
    /// What cheap criteria say about the filters.
    public let features: FilterFeatures
    /// Measured smaller networks; nil if there are none.
    let choices: MeasuredChoices?
    /// The workers, in the order in which they joined.
    public let workers: [RunFile.Worker]
    /// The leases, in the order they were granted; an even sample if there are very many.
    public let leases: [RunFile.LeaseRecord]
    /// The masks that were set aside, and why.
    public let setAside: [(mask: Int, reason: String)]

    /// Leases to keep for a plot.
    private static let leasesMax = 50_000

    /// Makes a record.
    init(
        description: RunDescription, network: Network, evaluations: [Evaluation?], workers: [RunFile.Worker] = [],
        leases: [RunFile.LeaseRecord] = [], setAside: [(mask: Int, reason: String)] = [], path: String? = nil,
        features: FilterFeatures = .none, choices: MeasuredChoices? = nil
    ) {
        self.features = features
        self.choices = choices
        self.path = path
        self.description = description
        self.network = network
        self.evaluations = evaluations
        self.workers = workers
        self.leases = leases
        self.setAside = setAside
    }

    /// Reads a whole run file, whether its run has ended or is active. Throws a ``Failure``.
    public init(_ file: RunFile) throws {
        let network = try Checkpoint.network(
            bytes: file.checkpoint(), name: "the checkpoint in \(file.path)", note: { _ in })
        try file.description.check(against: FilterSpace(network.graph))
        var evaluations = [Evaluation?](repeating: nil, count: file.description.ensemble.count)
        try file.forEachEvaluation { evaluations[$0.mask] = $0.evaluation }
        self.init(
            description: file.description, network: network, evaluations: evaluations, workers: try file.workers(),
            leases: try file.leases(atMost: Self.leasesMax), setAside: try file.masksSetAside(), path: file.path,
            features: try file.features(of: network), choices: try file.measuredChoices())
    }

    /// The unpruned network's accuracy on the run's images; nil if no mask measured it.
    var unprunedAccuracy: Double? {
        // A design with such a mask has it last or first.
        let ends = [evaluations.count - 1, 0].filter(evaluations.indices.contains)
        let unmasked = ends.first { description.ensemble.mask($0).disabledCount == 0 }
        return unmasked.flatMap { evaluations[$0] }.map { Double($0.correct) / Double(max($0.images, 1)) }
    }
}
