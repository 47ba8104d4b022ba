import Foundation
import Shared

/// What `run` and `resume` have in common: evaluate what is not evaluated yet, then fit and report.
struct RunSession {
    let file: RunFile
    let images: ImageSet
    let calibrationImages: ImageSet?
    /// Where the images are, to measure what the ranking chooses; nil where that is left to others.
    let source: ImageSource?
    let cluster: ClusterOptions
    /// The live page; nil where it is not asked for.
    let dashboard: Dashboard?
    /// Where the report goes; nil for none.
    let reportFolder: String?

    /// The images of a run, and those that recalibrate where they are others. Throws a `.badInput` ``Failure``.
    static func readImages(_ settings: EvaluationSettings, from data: DataSet) throws
        -> (images: ImageSet, calibration: ImageSet?)
    {
        let images = try data.read(settings.split, limit: settings.pool)
        guard let count = settings.batchNorm.calibrationImages, !settings.calibratesOnOwnImages else {
            return (images, nil)
        }
        return (images, try data.read(.train, limit: count))
    }

    /// Makes the folder of the report, so that a run does not end without one. Throws a ``Failure``.
    static func prepareReport(_ folder: String?) throws {
        if let folder { try OutputGuard.prepareFolder(folder) }
    }

    /// Evaluates, fits and reports. Throws a ``Failure``, of the kind `.interrupted` where the user interrupted it.
    func run(at listener: consuming Listener, signals: consuming SignalQueue) throws {
        dashboard?.report = reportFolder.map(Self.reportPath) ?? ""
        let page: LivePage?
        do {
            page = try evaluate(at: listener, signals: signals)
        } catch let failure as Failure where failure.kind == .interrupted {
            dashboard?.bidFarewell(isInterrupted: true)
            throw failure
        }
        // What was evaluated is in the file, so that the fit may be ended as any program.
        signals.release()
        try report()
        page?.ended(.finished)
        dashboard?.bidFarewell()
    }

    private static func reportPath(_ folder: String) -> String {
        URL(fileURLWithPath: "\(folder)/report.html").standardizedFileURL.path
    }

    /// Evaluates what is not evaluated yet, and returns the live page, if there is one. Throws a ``Failure``, of the kind
    /// `.interrupted` where the user interrupted it.
    @discardableResult
    func evaluate(at listener: consuming Listener, signals: borrowing SignalQueue) throws -> LivePage? {
        let endpoint = listener.endpointForPeople
        Log.shared.line("listening at \(listener.endpoint)")
        let checkpoint = try file.checkpoint()
        let network = try Checkpoint.network(bytes: checkpoint, name: "the network in \(file.path)", note: { _ in })
        let features = try file.features(of: network)
        let materials = RunMaterials(
            checkpoint: checkpoint, images: images, calibrationImages: calibrationImages)
        let monitor = try monitor(features)
        defer { monitor.stop() }
        // A run that has enough already evaluates no more.
        try end(monitor)
        let description = file.description
        let done = try file.evaluationCount()
        if done > 0 { Log.shared.line("\(done) of \(description.ensemble.count) masks are evaluated already") }

        let localWorkers = try cluster.startLocalWorkers(
            connectingTo: listener.localEndpoint, environment: listener.localEnvironment)
        let page = livePage(monitor, endpoint, FilterSpace(network.graph))
        let ending: RunLoop.Ending
        do {
            defer {
                Log.shared.clearStatus()
                localWorkers?.stop()
            }
            let progress = Progress(images: description.settings.images, endpoint: endpoint)
            var rate = WorkRate()
            let observer = RunLoop.Observer(
                recorded: { monitor.record($0.lazy.map { (mask: $0.mask, evaluation: $0.evaluation) }) },
                ticked: {
                    let time = Double(Moment.now().milliseconds) / 1000
                    let known = monitor.state
                    rate.update(
                        $0, at: time, masksNeeded: description.untilReliability.flatMap { _ in known.masksNeeded })
                    progress.update($0, rate, known, aim: monitor.aim, at: time)
                    page?.update($0, rate)
                    // Whoever looks at the run file shall see it too; where it cannot be written, the loop will say so.
                    if let forecast = known.forecast(aim: monitor.aim) { try? file.setForecast(forecast) }
                }, hasEnough: { monitor.settledMasks != nil })
            let referee = cluster.referee(at: listener)
            let loop = try RunLoop(
                file, at: listener, serving: materials, policy: cluster.policy(for: description),
                localWorkers: localWorkers, startReferee: referee, observer: observer)
            // The workers end first: they would complain of a socket that is gone.
            defer { withExtendedLifetime(loop) { localWorkers?.stop() } }
            ending = try loop.run(signals: signals)
        }
        page?.ended(ending == .interrupted ? .interrupted : .fitting)
        if ending != .interrupted { try end(monitor) }
        file.finish()
        switch ending {
        case .interrupted:
            throw Failure(
                .interrupted,
                "interrupted; \(try file.evaluationCount()) of \(description.ensemble.count) masks are in \(file.path); go on "
                    + "with '\(RunFile.resumeCommand(file.path))'\(cluster.secretsToGiveAgain)")
        case .over(.complete), .over(.stopped): break
        case .over(.incomplete(let setAside)):
            Log.shared.line(
                "\(setAside) masks could not be evaluated and are left out; "
                    + "'\(RunFile.resumeCommand(file.path))' tries them again")
        }
        return page
    }

    /// What follows the ranking: it knows what was evaluated before.
    private func monitor(_ features: FilterFeatures) throws -> RankingMonitor {
        let description = file.description
        let monitor = RankingMonitor(
            description.ensemble, rotation: description.settings.rotation, features: features,
            aim: description.untilReliability)
        try file.forEachEvaluation { monitor.record(CollectionOfOne((mask: $0.mask, evaluation: $0.evaluation))) }
        return monitor
    }

    /// Ends the run after the masks that suffice, where it has settled.
    private func end(_ monitor: RankingMonitor) throws {
        guard let aim = file.description.untilReliability, let masks = monitor.settle() else { return }
        try file.change(masks: masks, untilReliability: aim)
        Log.shared.line(
            "the ranking has settled: its reliability is \(Text.fixed(aim, 2)) or more from \(Text.grouped(masks)) masks"
        )
    }

    private func livePage(_ monitor: RankingMonitor, _ endpoint: String, _ space: FilterSpace) -> LivePage? {
        guard let dashboard else { return nil }
        return LivePage(
            dashboard, of: file.description, space: space, runFile: file.path, endpoint: endpoint, monitor: monitor)
    }

    /// Measures smaller networks that the ranking chooses, and writes that down.
    private func measureChoices() throws {
        guard let source, !file.description.ensemble.design.comparesAllMasks else { return }
        let report = try Report(RunRecord(file))
        do {
            let settings = file.description.settings
            let jobs = try NetworkJobs(
                on: try source.open(needsLabels: settings.labels == .given), normalisation: settings.normalisation,
                cluster: cluster.onThisHost)
            try file.remember(
                MeasuredChoices(report.pruner, of: report.record.network, settings: settings, by: jobs))
        } catch let failure as Failure {
            Log.shared.line("what the ranking would choose is not measured: \(failure)")
        }
    }

    private func report() throws {
        Log.shared.step("fitting the ranking")
        defer { Log.shared.clearStatus() }
        try measureChoices()
        let report = try Report(RunRecord(file))
        Log.shared.clearStatus()
        print(report.summary(lines: 10))
        guard let reportFolder else { return }
        try report.write(to: reportFolder)
        print("report: \(reportFolder)/report.html")
    }
}
