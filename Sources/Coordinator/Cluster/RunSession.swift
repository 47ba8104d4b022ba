import Foundation
import Shared

/// What `run` and `resume` have in common: evaluate what is not evaluated yet, then fit and report.
struct RunSession {
    let file: RunFile
    let images: ImageSet
    let calibrationImages: ImageSet?
    let cluster: ClusterOptions
    /// The live page; nil where it is not asked for.
    let dashboard: Dashboard?
    /// Where the report goes; nil for none.
    let reportFolder: String?

    /// The images of a run, and those that recalibrate. Throws a `.badInput` ``Failure``.
    static func readImages(_ settings: EvaluationSettings, from data: DataSet) throws
        -> (images: ImageSet, calibration: ImageSet?)
    {
        let images = try data.read(settings.split, limit: settings.images)
        guard let count = settings.batchNorm.calibrationImages else { return (images, nil) }
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
        let description = file.description
        let materials = RunMaterials(
            checkpoint: try file.checkpoint(), images: images, calibrationImages: calibrationImages)
        let done = try file.evaluationCount()
        if done > 0 { Log.shared.line("\(done) of \(description.ensemble.count) masks are evaluated already") }

        let localWorkers = try cluster.startLocalWorkers(
            connectingTo: listener.localEndpoint, environment: listener.localEnvironment)
        let monitor = RankingMonitor(description.ensemble)
        defer { monitor.stop() }
        try file.forEachEvaluation { monitor.record(CollectionOfOne((mask: $0.mask, evaluation: $0.evaluation))) }
        let page = try livePage(monitor, endpoint)
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
                    rate.update($0, at: time)
                    let splitHalf = monitor.state.settling.last?.splitHalfCorrelation
                    progress.update($0, rate, splitHalf: splitHalf, at: time)
                    page?.update($0, rate)
                })
            let referee = cluster.referee(at: listener)
            let loop = try RunLoop(
                file, at: listener, serving: materials, policy: cluster.policy(for: description),
                localWorkers: localWorkers, startReferee: referee, observer: observer)
            // The workers end first: they would complain of a socket that is gone.
            defer { withExtendedLifetime(loop) { localWorkers?.stop() } }
            ending = try loop.run(signals: signals)
        }
        page?.ended(ending == .interrupted ? .interrupted : .fitting)
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

    private func livePage(_ monitor: RankingMonitor, _ endpoint: String) throws -> LivePage? {
        guard let dashboard else { return nil }
        let network = try Checkpoint.network(
            bytes: file.checkpoint(), name: "the network in \(file.path)", note: { _ in })
        return LivePage(
            dashboard, of: file.description, space: FilterSpace(network.graph), runFile: file.path,
            endpoint: endpoint, monitor: monitor)
    }

    private func report() throws {
        Log.shared.step("fitting the ranking")
        defer { Log.shared.clearStatus() }
        let report = try Report(RunRecord(file))
        Log.shared.clearStatus()
        print(report.summary(lines: 10))
        guard let reportFolder else { return }
        try report.write(to: reportFolder)
        print("report: \(reportFolder)/report.html")
    }
}
