import Foundation
import Shared

/// The options of the live page; `run` and `resume` share them.
struct LivePageOptions {
    /// A week: longer looks like a mistake.
    private static let lingerMax = 7 * 86_400

    @Option(
        "Serve a live page of the run at this address, such as 127.0.0.1:8080; /metrics there is for Prometheus.",
        value: "ADDRESS:PORT") var http: String?
    @Option(
        "Keep the page up this many seconds after the end. An open page shows the end in any case.", value: "SECONDS"
    )
    var httpLinger: Int?
    @Flag("Let --http serve the page beyond this host; it has no password.") var httpBeyondLoopback: Bool

    /// Checks the address. Throws a `.usage` ``Failure``.
    func validate() throws {
        _ = try http.map { try HTTPAddress(parsing: $0) }
        if http == nil, httpBeyondLoopback { throw Failure(.usage, "--http-beyond-loopback needs --http") }
        if http == nil, httpLinger != nil { throw Failure(.usage, "--http-linger needs --http") }
        if let httpLinger, !(0...Self.lingerMax).contains(httpLinger) {
            throw Failure(.usage, "--http-linger must be from 0 to \(Self.lingerMax) seconds")
        }
    }

    /// Starts to serve, and says where; nil if not requested. Throws a ``Failure``.
    func open() throws -> Dashboard? {
        guard let http else { return nil }
        let dashboard = try Dashboard(at: HTTPAddress(parsing: http), beyondLoopback: httpBeyondLoopback)
        dashboard.lingerSeconds = httpLinger
        Log.shared.line("the live page is at \(dashboard.url)")
        return dashboard
    }
}

/// Follows a run for its live page: called by the coordinator's loop, on its thread.
final class LivePage {
    private let dashboard: Dashboard
    private let monitor: RankingMonitor
    private let space: FilterSpace
    private let endpoint: String
    private var history: RunHistory
    private var latest: (run: Scheduler.Snapshot, rate: WorkRate)?
    /// Processor time that the page took from the loop's thread.
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
            "\(settings.imagesInWords) of \(data.lastPathComponent)"
        fixed.runFile = runFile
        fixed.seed = description.ensemble.seed
        fixed.imagesPerMask = settings.images
        fixed.started = Date().timeIntervalSince1970
        history = RunHistory(fixed)
    }

    /// Called about once a second with the run's state.
    func update(_ run: Scheduler.Snapshot, _ rate: WorkRate) {
        let start = Self.threadSeconds()
        latest = (run, rate)
        post(run, rate, phase: .running)
        loopSeconds += Self.threadSeconds() - start
    }

    /// No more evaluations come.
    func ended(_ phase: RunSnapshot.Phase) {
        if let latest { post(latest.run, latest.rate, phase: phase) }
    }

    /// Processor time of the calling thread, in seconds.
    private static func threadSeconds() -> Double {
        var used = timespec()
        guard clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0 else { return 0 }
        return Double(used.tv_sec) + Double(used.tv_nsec) / 1e9
    }

    private func post(_ run: Scheduler.Snapshot, _ rate: WorkRate, phase: RunSnapshot.Phase) {
        var snapshot = history.snapshot(of: run, rate, phase: phase, at: Date().timeIntervalSince1970)
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
        snapshot.rankedMasks = known.masks
        snapshot.loopSeconds = loopSeconds
        dashboard.show(snapshot)
    }
}
