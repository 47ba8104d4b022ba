import Foundation
import Shared

/// The options of the live page; `run` and `resume` share them.
struct LivePageOptions {
    @Option(
        "Show the run on a page for browsers at this address, such as 127.0.0.1:8080; /metrics there is for Prometheus.",
        value: "ADDRESS:PORT") var http: String?
    @Flag("Let --http show the run beyond this host: there is no password.") var httpBeyondLoopback: Bool

    /// Checks the address. Throws a `.usage` ``Failure``.
    func validate() throws {
        _ = try http.map { try HTTPAddress(parsing: $0) }
        if http == nil, httpBeyondLoopback { throw Failure(.usage, "--http-beyond-loopback needs --http") }
    }

    /// Starts to serve, and says where; nil where it is not asked for. Throws a ``Failure``.
    func open() throws -> Dashboard? {
        guard let http else { return nil }
        let dashboard = try Dashboard(at: HTTPAddress(parsing: http), beyondLoopback: httpBeyondLoopback)
        Log.shared.line("the live page is at \(dashboard.url)")
        return dashboard
    }
}

/// Follows a run for its live page: called by the coordinator's loop, on its thread.
final class LivePage {
    private static let logLines = 100

    private let dashboard: Dashboard
    private let monitor: RankingMonitor
    private let space: FilterSpace
    private let endpoint: String
    private var history: RunHistory
    private var latest: Scheduler.Snapshot?
    /// Processor time of the loop's thread that the page took.
    private var loopSeconds = 0.0

    /// Follows a run whose workers connect to `endpoint`.
    init(
        _ dashboard: Dashboard, of description: RunDescription, space: FilterSpace, runFile: String, endpoint: String,
        monitor: RankingMonitor
    ) {
        self.dashboard = dashboard
        self.monitor = monitor
        self.space = space
        self.endpoint = endpoint
        let settings = description.settings
        let (model, data) = (URL(filePath: description.network.path), URL(filePath: description.data.path))
        var fixed = RunSnapshot()
        fixed.model = "\(description.network.architecture) (\(model.lastPathComponent))"
        fixed.data =
            "\(settings.images) \(settings.split == .train ? "training" : "test") images of \(data.lastPathComponent)"
        fixed.runFile = runFile
        fixed.seed = description.ensemble.seed
        fixed.imagesPerMask = settings.images
        fixed.started = Date().timeIntervalSince1970
        history = RunHistory(fixed)
    }

    /// About once a second: how the run stands.
    func update(_ run: Scheduler.Snapshot) {
        let start = Self.threadSeconds()
        latest = run
        post(run, phase: .running)
        loopSeconds += Self.threadSeconds() - start
    }

    /// No more evaluations come.
    func ended(_ phase: RunSnapshot.Phase) {
        if let latest { post(latest, phase: phase) }
    }

    /// Processor time of the calling thread, in seconds.
    private static func threadSeconds() -> Double {
        var used = timespec()
        guard clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0 else { return 0 }
        return Double(used.tv_sec) + Double(used.tv_nsec) / 1e9
    }

    private func post(_ run: Scheduler.Snapshot, phase: RunSnapshot.Phase) {
        var snapshot = history.snapshot(of: run, phase: phase, at: Date().timeIntervalSince1970)
        if snapshot.stall != nil, run.workers.isEmpty {
            snapshot.stall? += " Start one with: winnow-worker serve --connect \(endpoint)"
        }
        let known = monitor.state
        let (estimates, space) = (known.ranking, space)
        snapshot.ranking = Rows(count: estimates.count) { place in
            let row = estimates[place]
            let layer = space.layers[space.layerIndex(of: row.filter)]
            return RunSnapshot.Filter(
                layer: layer.name, filter: row.filter - layer.filters.lowerBound, importance: row.importance,
                standardError: row.standardError)
        }
        snapshot.settling = known.settling
        snapshot.loopSeconds = loopSeconds
        snapshot.log = Log.shared.recent(LivePage.logLines)
        dashboard.board.post(snapshot)
    }
}
