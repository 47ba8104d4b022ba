import Foundation
import Shared

/// Ranks, prunes and fine-tunes a network in rounds, from wherever its folder says that it stands.
final class CompressionSession {
    /// Ways to choose filters that the ranking is compared with; they too see training images only, or none.
    private static let baselines: [PruningMethod] = [.l1, .taylor, .random]
    /// Training images that adapt a pruned network: its batch-norm statistics, and the refitted layers.
    private static let adaptationImages = 1000

    /// The images, and where they are.
    struct Images {
        let data: DataSet
        let training: ImageSet
        /// What tells how well a network does and decides nothing: test images, or training images that are kept out of
        /// everything else.
        let test: ImageSet
        /// Training images that are kept out, the last ones; 0 where there are test images.
        let heldOut: Int

        /// Reads images. Throws a `.badInput` ``Failure``.
        init(_ data: DataSet) throws {
            self.data = data
            training = try data.read(.train)
            if let test = try HeldOutImages.test(of: data) {
                self.test = test
                heldOut = 0
            } else {
                heldOut = HeldOutImages.count(of: training.count)
                test = try HeldOutImages.last(heldOut, of: training)
                Log.shared.line(HeldOutImages.note(heldOut, of: data))
            }
        }

        /// Training images that may decide something.
        var usable: Int { training.count - heldOut }
    }

    private let plan: CompressionPlan
    private let folder: CompressionFolder
    private let images: Images
    private let sampling: SamplingOptions
    private let cluster: ClusterOptions
    /// The live page; nil where it is not asked for.
    private let dashboard: Dashboard?
    private let unpruned: Network
    private var endpoint: String?

    init(
        _ plan: CompressionPlan, in folder: CompressionFolder, images: Images, sampling: SamplingOptions,
        cluster: ClusterOptions, dashboard: Dashboard?
    ) throws {
        self.dashboard = dashboard
        self.plan = plan
        self.folder = folder
        self.images = images
        self.sampling = sampling
        self.cluster = cluster
        unpruned = try Checkpoint.network(at: folder.unpruned)
    }

    /// Goes on to the end. Throws an `.interrupted` ``Failure`` where a signal comes; what was done is in the folder.
    func run(signals: borrowing SignalQueue) throws -> CompressionCurve {
        do {
            let start = try folder.stored(folder.start) {
                Log.shared.step("measuring the unpruned network on the test images")
                return try point(folder.unpruned, round: 0, method: nil, isFinetuned: false, by: try jobs())
            }
            var curve = CompressionCurve(start: start, rounds: [])
            let network = try plan.accuracy.map { try keep($0, &curve, signals) } ?? meetBudget(&curve, signals)
            try folder.write(Checkpoint.safetensors(of: Checkpoint.network(at: network)), to: folder.compressed)
            return curve
        } catch {
            // A signal may also have ended a program that this one waited for.
            guard (error as? Failure)?.kind == .interrupted || signals.next() != nil else { throw error }
            dashboard?.show(.interrupted)
            dashboard?.bidFarewell(isInterrupted: true)
            let command = ShellWords.command(CommandLine.arguments)
            throw Failure(
                .interrupted, "interrupted; what was done is in \(folder.path), and '\(command)' goes on with it")
        }
    }

    /// All rounds. Returns the last one's network.
    private func meetBudget(_ curve: inout CompressionCurve, _ signals: borrowing SignalQueue) throws -> String {
        var network = folder.unpruned
        for number in 1...plan.rounds {
            curve.rounds.append(try round(number, of: network, signals))
            network = try folder.round(number).finetuned
            try write(curve)
        }
        return network
    }

    /// Rounds until one falls below the accuracy, also after a long fine-tuning, or until no more can go. Returns the
    /// network of the last one that kept it, tuned at length. Throws a `.usage` ``Failure`` where none kept it.
    private func keep(
        _ goal: CompressionPlan.Goal, _ curve: inout CompressionCurve, _ signals: borrowing SignalQueue
    ) throws -> String {
        let reference = try referenceAccuracy(goal, signals)
        let least = goal.floor.least(of: reference ?? 0)
        curve.accuracy = (least, reference)
        Log.shared.line(
            "the smallest network that recognises \(Text.percent(least, 2)) of \(plan.earlierTraining.validationImages) "
                + "held-out training images"
                + (reference.map { "; the unpruned one, tuned without them, \(Text.percent($0, 2))" } ?? ""))
        var network = folder.unpruned
        for number in 1...plan.rounds {
            guard curve.rounds.last.map(curve.keepsAccuracy) ?? true else { break }
            let files = try folder.round(number)
            var round: CompressionRound
            do { round = try self.round(number, of: network, signals) } catch let failure as Failure
                where failure.kind == .usage && number > 1
            {
                Log.shared.line("no further round: \(failure.description)")
                break
            }
            if !curve.keepsAccuracy(round) { round = try tunedAtLength(round, files, signals) }
            curve.rounds.append(round)
            try write(curve)
            network = round.isLongBetter ? files.longFinetuned : files.finetuned
        }
        guard let index = curve.rounds.lastIndex(where: curve.keepsAccuracy) else {
            throw Failure(
                .usage,
                "the first round, without \(Text.percent(goal.removePerRound, 1)) of the FLOPs, already falls below "
                    + "\(Text.percent(least, 2)); allow a larger drop, or give more --epochs or a smaller "
                    + "--remove-per-round. \(folder.report) shows what was reached")
        }
        let files = try folder.round(curve.rounds[index].number)
        curve.rounds[index] = try tunedAtLength(curve.rounds[index], files, signals)
        try write(curve)
        return curve.rounds[index].isLongBetter ? files.longFinetuned : files.finetuned
    }

    /// The accuracy on the held-out images that a drop is counted from: the unpruned network's, tuned without them as the
    /// rounds are. It may have been trained on these images, and remembers them better than it recognises others.
    private func referenceAccuracy(
        _ goal: CompressionPlan.Goal, _ signals: borrowing SignalQueue
    ) throws -> Double? {
        guard case .drop = goal.floor else { return nil }
        begin("fine-tuning the unpruned network, to compare with")
        let history = try folder.stored(folder.reference) {
            try finetune(
                folder.unpruned, plan.training(round: 0), state: folder.paths.referenceTraining,
                to: folder.paths.referenceNetwork, signals)
        }
        return history.epochs.last?.validationAccuracy
    }

    private func tunedAtLength(
        _ round: CompressionRound, _ files: CompressionFolder.Round, _ signals: borrowing SignalQueue
    ) throws -> CompressionRound {
        try folder.stored(files.longResult) {
            begin("\(name(of: round.number)): fine-tuning at length")
            var round = round
            let history = try finetune(
                files.reconstructed, plan.longTraining(round: round.number), state: files.longTraining,
                to: files.longFinetuned, signals)
            round.longHistory = history
            round.longFinetuned = try finetunedPoint(files.longFinetuned, round: round.number, history)
            return round
        }
    }

    private func name(of round: Int) -> String {
        plan.accuracy == nil ? "round \(round) of \(plan.rounds)" : "round \(round)"
    }

    private func round(
        _ number: Int, of network: String, _ signals: borrowing SignalQueue
    ) throws -> CompressionRound {
        let files = try folder.round(number)
        if !folder.has(files.pruning) {
            let ranking = try rank(network, number, files, signals)
            begin("\(name(of: number)): pruning")
            dashboard?.show(.pruning)
            defer { Log.shared.clearStatus() }
            _ = try folder.stored(files.pruning) { try prune(ranking, number, files, signals) }
        }
        if !folder.has(files.result) {
            var round: CompressionRound = try CompressionFolder.read(files.pruning)
            begin("\(name(of: number)): fine-tuning")
            let history = try finetune(
                files.reconstructed, plan.training(round: number), state: files.training, to: files.finetuned, signals)
            round.history = history
            round.finetuned = try finetunedPoint(files.finetuned, round: number, history)
            _ = try folder.stored(files.result) { round }
        }
        return try CompressionFolder.read(files.result)
    }

    private func begin(_ what: String) {
        dashboard?.step = what
        Log.shared.line(what)
    }

    // MARK: Ranking

    private func rank(
        _ path: String, _ number: Int, _ files: CompressionFolder.Round, _ signals: borrowing SignalQueue
    ) throws -> Report {
        let network = try Checkpoint.network(at: path)
        let (evaluated, calibration) = try RunSession.readImages(plan.evaluation, from: images.data)
        try folder.ensure(files.run) { part in
            let ensemble = try sampling.ensemble(
                of: FilterSpace(network.graph), seed: plan.seed(round: number))
            let checkpoint = Checkpoint.safetensors(of: network)
            let description = RunDescription(
                of: network, checkpoint: checkpoint, from: path, images: evaluated, calibration: calibration,
                in: images.data.source, settings: plan.evaluation, ensemble: ensemble)
            let taylor = try TaylorScores.measure(network, on: images.data, by: try jobs())
            try RunFile.create(at: part, description, checkpoint: checkpoint, taylor: taylor).finish()
        }
        let file = try RunFile.resume(at: files.run)
        begin(
            "\(name(of: number)): ranking \(file.description.ensemble.participating.count) filters with "
                + "\(file.description.ensemble.count) masks")
        if try file.evaluationCount() < file.description.ensemble.count {
            let session = RunSession(
                file: file, images: evaluated, calibrationImages: calibration, source: nil, cluster: cluster,
                dashboard: dashboard,
                reportFolder: nil)
            try session.evaluate(at: try listen(), signals: signals)
        }
        let report = try Report(RunRecord(file))
        try report.write(to: files.ranking)
        return report
    }

    /// Listens where the session listened before, so that workers on other hosts find each part of it.
    private func listen() throws -> Listener {
        let listener = try cluster.listen(at: endpoint)
        if cluster.$bind.isGiven { endpoint = listener.endpoint }
        return listener
    }

    /// Workers for questions about networks, at the same place.
    private func jobs() throws -> NetworkJobs {
        let jobs = try NetworkJobs(
            on: images.data, normalisation: plan.evaluation.normalisation, cluster: cluster, at: endpoint,
            isInterruptible: true)
        if cluster.$bind.isGiven { endpoint = jobs.endpoint }
        return jobs
    }

    // MARK: Pruning

    private func prune(
        _ ranking: Report, _ number: Int, _ files: CompressionFolder.Round, _ signals: borrowing SignalQueue
    ) throws -> CompressionRound {
        let network = ranking.record.network
        let budget = plan.budget(round: number, of: unpruned.graph.cost())
        let scores = FilterScores(ranking.ranking.fit, of: ranking.record.description.ensemble)
        let adaptation = min(
            Self.adaptationImages, images.training.count - plan.earlierTraining.validationImages)
        let jobs = try jobs()
        let rules = plan.rules(for: network.graph, of: unpruned.graph)
        func pruned(
            by scores: FilterScores, _ method: PruningMethod, to file: String, reconstructed: String? = nil
        ) throws -> CompressionPoint {
            if signals.next() != nil { throw Failure(.interrupted, "interrupted") }
            Log.shared.step("pruning by \(CompressionPlots.name(of: method.rawValue)) and measuring")
            let pruner = Pruner(network.graph, scores: scores, model: plan.lossModel, rules: rules)
            let outcome = try pruner.prune(to: budget)
            try folder.ensure(file) { part in
                let recalibrated = try jobs.recalibrated(
                    network, .corrected(images: adaptation), under: outcome.mask)
                try folder.write(Checkpoint.safetensors(of: recalibrated.removing(outcome.mask)), to: part)
            }
            if let reconstructed {
                try folder.ensure(reconstructed) { part in
                    Log.shared.step("refitting the layers after the removed filters")
                    let selected = try jobs.selected(from: network, asManyAs: outcome.mask, images: adaptation)
                    let fitted = try jobs.reconstructed(network, removing: selected, images: adaptation)
                    try folder.write(Checkpoint.safetensors(of: fitted), to: part)
                }
            }
            var point = try point(file, round: number, method: method.rawValue, isFinetuned: false, by: jobs)
            point.predictedLoss = outcome.predictedLoss
            // A pruned network's own answers tell nothing of what it lost.
            if plan.evaluation.labels == .given {
                point.measuredLoss = try jobs.evaluate(Checkpoint.network(at: file), plan.evaluation.measuring).loss
            }
            return point
        }
        let gradients = GradientSource(jobs: jobs, images: plan.evaluation.measuring.images)
        let ensemble = try pruned(by: scores, .ensemble, to: files.pruned, reconstructed: files.reconstructed)
        var refitted = try point(
            files.reconstructed, round: number, method: PruningMethod.ensemble.rawValue, isFinetuned: false, by: jobs)
        refitted.isReconstructed = true
        return CompressionRound(
            number: number, pruned: ensemble,
            baselines: try Self.baselines.map { method in
                let values = try PruningSource(network).scores(
                    method, scope: .all, seed: plan.seed(round: number), gradients: gradients
                ).values
                // The same filters may go, so that nothing but their order differs.
                let others = FilterScores(values: values, removable: scores.removable, prediction: nil)
                return try pruned(by: others, method, to: files.baseline(method))
            }, reconstructed: refitted)
    }

    /// What a network costs, and how well it recognises the test images, which decide nothing.
    private func point(
        _ file: String, round: Int, method: String?, isFinetuned: Bool, by jobs: NetworkJobs
    ) throws -> CompressionPoint {
        let network = try Checkpoint.network(at: file)
        let graph = network.graph
        let cost = graph.cost()
        let settings = EvaluationSettings(
            split: images.heldOut > 0 ? .train : .test, images: images.test.count, batchNorm: .frozen,
            normalisation: plan.evaluation.normalisation)
        let measured = try jobs.evaluate(network, settings, skipping: images.heldOut > 0 ? images.usable : 0)
        return CompressionPoint(
            round: round, method: method, isFinetuned: isFinetuned, parameters: cost.parameters,
            multiplyAccumulates: cost.multiplyAccumulates, filters: FilterSpace(graph).count,
            testLoss: measured.loss, testCorrect: measured.correct, testImages: measured.images)
    }

    private func finetunedPoint(_ file: String, round: Int, _ history: TrainingHistory) throws -> CompressionPoint {
        var point = try point(
            file, round: round, method: PruningMethod.ensemble.rawValue, isFinetuned: true, by: try jobs())
        point.epochs = history.epochs.count
        point.validationAccuracy = history.epochs.last?.validationAccuracy
        return point
    }

    // MARK: Fine-tuning

    /// Trains the network of one file to another; `state` keeps how far it came.
    private func finetune(
        _ network: String, _ settings: TrainingSettings, state: String, to output: String,
        _ signals: borrowing SignalQueue
    ) throws -> TrainingHistory {
        try folder.ensure(state) { part in
            let progress = try TrainingProgress(
                Checkpoint.network(at: network), settings: settings, imageCount: images.training.count)
            let origin = TrainingFile.Origin(
                trainingImages: plan.trainingImages, teacher: settings.loss.distillation == nil ? nil : unpruned)
            try TrainingFile.create(at: part, progress, origin).finish()
        }
        let state = try TrainingFile.open(at: state)
        Log.shared.line("\(settings.epochs) epochs")
        let training = TrainingRun(
            trainingImages: images.training, testImages: images.test, cluster: cluster,
            outputs: TrainingOutputs(network: output), dashboard: dashboard)
        return try training.run(state, at: listen(), signals: signals).history
    }

    // MARK: Reporting

    private func write(_ curve: CompressionCurve) throws {
        try folder.write(Array(curve.csv.utf8), to: folder.curveCSV)
        try folder.write(try CompressionFolder.json(CompressionDocument(plan, curve)), to: folder.curveJSON)
        try folder.write(Array(CompressionReport(plan: plan, curve: curve).html.utf8), to: folder.report)
    }
}

/// What `curve.json` holds; the same bits however often the compression was interrupted.
private struct CompressionDocument: Encodable {
    var program = Version.number
    var plan: CompressionPlan
    var points: [CompressionPoint]

    init(_ plan: CompressionPlan, _ curve: CompressionCurve) {
        self.plan = plan
        points = curve.points
    }
}
