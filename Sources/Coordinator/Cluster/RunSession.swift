import Foundation
import Shared

/// The common part of `run` and `resume`: evaluates the missing masks, then fits and reports.
struct RunSession {
    let file: RunFile
    let images: ImageSet
    let calibrationImages: ImageSet?
    /// Where the images are, to measure the ranking's choices; nil to leave that out.
    let source: ImageSource?
    let cluster: ClusterOptions
    /// The live page; nil if not requested.
    let dashboard: Dashboard?
    /// Where the report goes; nil for none.
    let reportFolder: String?

    /// The images of a run, and those for recalibration if different. Throws a `.badInput` ``Failure``.
    static func readImages(_ settings: EvaluationSettings, from data: DataSet) throws
        -> (images: ImageSet, calibration: ImageSet?)
    {
        let images = try data.read(settings.split, limit: settings.pool)
        guard let count = settings.batchNorm.calibrationImages, !settings.calibratesOnOwnImages else {
            return (images, nil)
        }
        return (images, try data.read(.train, limit: count))
    }

    /// Creates the report's folder, so a run does not end without one. Throws a ``Failure``.
    static func prepareReport(_ folder: String?) throws {
        if let folder { try OutputGuard.prepareFolder(folder) }
    }

    /// Evaluates, fits and reports. Throws a ``Failure``, of kind `.interrupted` if the user interrupted it.
    func run(at listener: consuming Listener, signals: consuming SignalQueue) throws {
        dashboard?.report = reportFolder.map(Self.reportPath) ?? ""
        let page: LivePage?
        do {
            page = try evaluate(at: listener, signals: signals)
        } catch let failure as Failure where failure.kind == .interrupted {
            dashboard?.bidFarewell(isInterrupted: true)
            throw failure
        }
        // The evaluations are in the file, so the fit may be killed like any program.
        signals.release()
        try report()
        page?.ended(.finished)
        dashboard?.bidFarewell()
    }

    private static func reportPath(_ folder: String) -> String {
        URL(fileURLWithPath: "\(folder)/report.html").standardizedFileURL.path
    }

    /// Evaluates the missing masks, and returns the live page, if any. Throws a ``Failure``, of kind `.interrupted` if
    /// the user interrupted it.
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
                    // Readers of the run file should see it too; if it cannot be written, the loop will say so.
                    if let forecast = known.forecast(aim: monitor.aim) { try? file.setForecast(forecast) }
                }, hasEnough: { monitor.settledMasks != nil })
            let referee = cluster.referee(at: listener)
            let loop = try RunLoop(
                file, at: listener, serving: materials, policy: cluster.policy(for: description),
                localWorkers: localWorkers, startReferee: referee, observer: observer)
            // The workers end first: they would complain about a closed socket.
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
                "interrupted; \(try file.evaluationCount()) of \(description.ensemble.count) masks are in "
                    + "\(file.path); resume with '\(RunFile.resumeCommand(file.path))'\(cluster.secretsToGiveAgain)")
        case .over(.complete), .over(.stopped): break
        case .over(.incomplete(let setAside)):
            Log.shared.line(
                "\(setAside) masks could not be evaluated and are left out; "
                    + "'\(RunFile.resumeCommand(file.path))' tries them again")
        }
        return page
    }

    /// Follows the ranking, including earlier evaluations.
    private func monitor(_ features: FilterFeatures) throws -> RankingMonitor {
        let description = file.description
        let monitor = RankingMonitor(
            description.ensemble, rotation: description.settings.rotation, features: features,
            aim: description.untilReliability)
        try file.forEachEvaluation { monitor.record(CollectionOfOne((mask: $0.mask, evaluation: $0.evaluation))) }
        return monitor
    }

    /// Cuts the run to the masks that suffice, if it has settled.
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

    /// Measures smaller networks that the ranking chooses, and records the results.
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
            Log.shared.line("cannot measure the ranking's choices: \(failure)")
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
