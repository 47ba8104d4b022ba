import Shared

/// What a pruning starts from: a run file with its network and evaluations, or a checkpoint alone.
struct PruningSource {
    /// The unpruned network.
    private(set) var network: Network
    fileprivate let run: RunFile?

    /// Opens a run file. Throws a ``Failure``.
    init(run path: String) throws {
        let run = try RunFile.read(at: path)
        network = try Checkpoint.network(bytes: try run.checkpoint(), name: path)
        try run.description.check(against: FilterSpace(network.graph))
        self.run = run
    }

    /// A network that is here, without a run.
    init(_ network: Network) {
        self.network = network
        run = nil
    }

    /// The same, where images become the network's inputs so.
    func normalising(by normalisation: Normalisation) -> PruningSource {
        var source = self
        source.network.facts.normalisation = normalisation
        return source
    }

    /// Where the run's images were.
    var images: ImageSource? { run?.description.data.source }

    /// How the run's masks were evaluated.
    var settings: EvaluationSettings? { run?.description.settings }

    /// The run's identity.
    var runIdentity: String? { run?.description.run }

    /// The scores of the network's filters; `gradients` computes those of the training images. Throws a ``Failure``
    /// where the run or the worker cannot give them.
    func scores(
        _ method: PruningMethod, scope: SamplingOptions.Scope, seed: UInt64, gradients: GradientSource?
    ) throws -> FilterScores {
        if method.needsGradients {
            guard let gradients else { throw Failure(.usage, "--method \(method.rawValue) needs --data") }
            return FilterScores(values: try gradients.importances(of: network), of: network, scope: scope)
        }
        guard method.needsRun, let run else { return FilterScores(method, of: network, scope: scope, seed: seed) }
        let ensemble = run.description.ensemble
        if method == .ablation {
            var evaluations = [Evaluation?](repeating: nil, count: ensemble.count)
            try run.forEachEvaluation { evaluations[$0.mask] = $0.evaluation }
            return try FilterScores(ablation: ensemble, evaluations: evaluations, response: .logLoss)
        }
        let report = try Report(RunRecord(run))
        var scores = FilterScores(report.ranking.fit, of: ensemble, measured: report.record.choices)
        scores.verdict = report.verdictText
        return scores
    }
}

extension PruningSource {
    /// The scores of the network's filters by criteria that are known without a mask. Throws a ``Failure`` where the run
    /// file is damaged.
    func cheapScores() throws -> [(criterion: FilterFeatures.Criterion, values: [Double])] {
        let taylor = try run?.taylorScores().map { (criterion: FilterFeatures.Criterion.taylor, values: $0) }
        return [taylor, (.l1Norm, WeightNorm.l1.scores(network))].compactMap { $0 }
    }
}

/// Where the first-order Taylor importances of a network's filters come from: workers, which have the training engine, on
/// training images.
struct GradientSource {
    let jobs: NetworkJobs
    /// How many training images, the first ones.
    let images: Int

    /// The importance of every filter by its number: the mean over images of the squared derivative of an image's loss
    /// with respect to a gate on the filter's output, batch norms frozen (Molchanov et al. 2019, equation 8; the
    /// first-order term of Molchanov et al. 2017). Not divided by layer: the paper compares filters of all layers so.
    func importances(of network: Network) throws -> [Double] {
        try jobs.gateGradients(of: network, images: images)
    }
}
