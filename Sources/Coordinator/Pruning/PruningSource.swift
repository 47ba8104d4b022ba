import Shared

/// What a pruning starts from: a run file with its network and evaluations, or a checkpoint alone.
struct PruningSource {
    /// The unpruned network.
    let network: Network
    private let run: RunFile?

    /// Opens a run file, or reads a checkpoint. Throws a ``Failure``.
    init(run path: String?, model: String?) throws {
        if let path {
            let run = try RunFile.read(at: path)
            network = try Checkpoint.network(bytes: try run.checkpoint(), name: path)
            try run.description.check(against: FilterSpace(network.architecture))
            self.run = run
        } else {
            guard let model else { throw Failure(.usage, "give --run or --model") }
            network = try Checkpoint.network(at: model)
            run = nil
        }
    }

    /// How the run's masks were evaluated.
    var settings: EvaluationSettings? { run?.description.settings }

    /// The run's identity.
    var runIdentity: String? { run?.description.run }

    /// The scores of the network's filters. Throws a ``Failure`` where the run cannot give them.
    func scores(_ method: PruningMethod, scope: SamplingOptions.Scope, seed: UInt64) throws -> FilterScores {
        guard method.needsRun, let run else { return FilterScores(method, of: network, scope: scope, seed: seed) }
        let ensemble = run.description.ensemble
        var evaluations = [Evaluation?](repeating: nil, count: ensemble.count)
        try run.forEachEvaluation { evaluations[$0.mask] = $0.evaluation }
        if method == .ablation {
            return try FilterScores(ablation: ensemble, evaluations: evaluations, response: .logLoss)
        }
        return FilterScores(try AdditiveFit(ensemble, evaluations: evaluations), of: ensemble)
    }
}
