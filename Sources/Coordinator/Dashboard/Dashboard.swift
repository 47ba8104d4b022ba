import Foundation
import Shared

/// The live page of a run, its metrics and its health, served from snapshots.
///
/// | path | what |
/// |---|---|
/// | `/` | the page |
/// | `/snapshot.json` | what the page shows |
/// | `/ranking.json` | the ranking so far |
/// | `/metrics` | Prometheus text |
/// | `/health` | 200 while the coordinator's loop turns, 503 otherwise |
final class Dashboard {
    /// The oldest snapshot of a healthy coordinator: several times the longest pause between two turns of its loop.
    static let staleAfter = Duration.seconds(15)

    /// Log lines to show.
    private static let logLines = 100
    /// How long the coordinator waits at its end for an open page: two of the page's polls.
    private static let farewellSeconds = 6.0
    /// The same when its user wants it to stop.
    private static let farewellInterruptedSeconds = 2.5

    private static let lookSeconds = 0.1

    /// Where the loop posts its snapshots.
    let board = SnapshotBoard()
    /// The current part of a longer job, for ``RunSnapshot/step``.
    var step = ""
    /// The report's path, for ``RunSnapshot/report``.
    var report = ""
    /// Seconds to keep the page up after the end; nil for as long as an open page needs to see it.
    var lingerSeconds: Int?
    private let server: HTTPServer

    /// The address that it listens at, with the actual port.
    var address: String { "\(server.address)" }
    /// The page's address for a browser.
    var url: String { server.address.url }

    /// Starts to serve. Throws a `.usage` ``Failure`` for an address beyond loopback without explicit permission, and
    /// `.unavailable` if it cannot listen there.
    init(at address: HTTPAddress, beyondLoopback: Bool) throws {
        guard address.isLoopback || beyondLoopback else {
            throw Failure(
                .usage,
                "--http \(address) would show the run without a password to everyone who can reach this "
                    + "machine; add --http-beyond-loopback if you want that")
        }
        let board = board
        server = try HTTPServer(at: address) { Dashboard.answer(path: $0, from: board) }
    }

    /// Shows a snapshot, with what all snapshots of a job share.
    func show(_ snapshot: RunSnapshot) {
        var snapshot = snapshot
        snapshot.step = step
        snapshot.report = report
        snapshot.log = Log.shared.recent(Self.logLines)
        board.post(snapshot)
    }

    /// Shows the last snapshot in another phase, such as pruning, during which nothing else changes.
    func show(_ phase: RunSnapshot.Phase) {
        guard var snapshot = board.read()?.snapshot else { return }
        snapshot.phase = phase
        snapshot.time = Date().timeIntervalSince1970
        snapshot.secondsLeft = nil
        snapshot.stall = nil
        show(snapshot)
    }

    /// Waits until an open page has seen the last snapshot, or as long as requested.
    func bidFarewell(isInterrupted: Bool = false) {
        let asked = isInterrupted ? nil : lingerSeconds.map(Double.init)
        let needed = isInterrupted ? Self.farewellInterruptedSeconds : Self.farewellSeconds
        let seconds = asked ?? (board.hasReader ? needed : 0)
        guard seconds > 0 else { return }
        if asked != nil { Log.shared.line("the live page stays up for \(Int(seconds)) s at \(url); Ctrl-C ends it") }
        let end = Date(timeIntervalSinceNow: seconds)
        while Date() < end, asked != nil || !board.isNewestRead { Thread.sleep(forTimeInterval: Self.lookSeconds) }
    }

    /// Answers a request.
    static func answer(path: String, from board: SnapshotBoard) -> HTTPResponse {
        switch path {
        case "/": return HTTPResponse(contentType: "text/html; charset=utf-8", body: DashboardPage.html)
        case "/page.css": return HTTPResponse(contentType: "text/css; charset=utf-8", body: DashboardPage.style)
        case "/page.js": return HTTPResponse(contentType: "text/javascript; charset=utf-8", body: DashboardPage.script)
        case "/health": return health(board)
        case "/snapshot.json", "/ranking.json", "/metrics": break
        default: return .error(404, "nothing at \(path); see /, /metrics, /health, /ranking.json")
        }
        guard let (snapshot, _) = board.read() else { return .error(503, "the run is starting") }
        switch path {
        case "/metrics":
            return HTTPResponse(
                contentType: "text/plain; version=0.0.4; charset=utf-8", body: snapshot.prometheusText)
        case "/ranking.json": return json(LiveRanking(snapshot))
        default:
            board.wasRead(snapshot)
            return HTTPResponse(contentType: "application/json", body: snapshot.forPage.json)
        }
    }

    private static func health(_ board: SnapshotBoard) -> HTTPResponse {
        guard let (snapshot, age) = board.read() else { return .error(503, "the run is starting") }
        guard age < staleAfter || !snapshot.phase.turns else {
            return .error(503, "the coordinator's loop has not run for \(age.components.seconds) s")
        }
        let text = snapshot.stall.map { "\(snapshot.phase.rawValue), but no progress: \($0)" }
        return HTTPResponse(
            contentType: "text/plain; charset=utf-8", body: (text ?? snapshot.phase.rawValue) + "\n")
    }

    private static func json(_ value: some Encodable) -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(value) else { return .error(500, "cannot write the snapshot") }
        return HTTPResponse(contentType: "application/json", body: String(decoding: data, as: UTF8.self))
    }
}

/// The ranking so far, as in `/ranking.json`: least important first, with the names of the report's `ranking.json`.
private struct LiveRanking: Encodable {
    struct Row: Encodable {
        let rank: Int
        let layer: String
        let filter: Int
        let importance: Double
        let standard_error: Double
        let ci_low: Double
        let ci_high: Double
    }

    let complete: Bool
    let masks: Int
    let split_half_correlation: Double?
    let ranking: [Row]

    init(_ snapshot: RunSnapshot) {
        complete = snapshot.phase == .finished
        masks = snapshot.rankedMasks
        split_half_correlation = snapshot.settling.last?.splitHalfCorrelation
        var rows: [Row] = []
        for (index, filter) in snapshot.ranking.enumerated() {
            let half = AdditiveFit.intervalDeviations * filter.standardError
            rows.append(
                Row(
                    rank: index + 1, layer: filter.layer, filter: filter.filter, importance: filter.importance,
                    standard_error: filter.standardError, ci_low: filter.importance - half,
                    ci_high: filter.importance + half))
        }
        ranking = rows
    }
}
