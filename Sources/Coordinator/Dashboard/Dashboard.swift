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
    /// How old the newest snapshot may be while the coordinator counts as healthy: several times the longest pause
    /// between two turns of its loop.
    static let staleAfter = Duration.seconds(15)

    /// Where the loop leaves what readers see.
    let board = SnapshotBoard()
    private let server: HTTPServer

    /// The address that it listens at, the port filled in.
    var address: String { "\(server.address)" }
    /// The page's address for a browser.
    var url: String { server.address.url }

    /// Starts to serve. Throws a `.usage` ``Failure`` for an address beyond loopback that is not asked for in so many
    /// words, and `.unavailable` where the address cannot be had.
    init(at address: HTTPAddress, beyondLoopback: Bool) throws {
        guard address.isLoopback || beyondLoopback else {
            throw Failure(
                .usage,
                "--http \(address) would show the run to everyone who can reach this machine, without a password; "
                    + "add --http-beyond-loopback if that is meant")
        }
        let board = board
        server = try HTTPServer(at: address) { Dashboard.answer(path: $0, from: board) }
    }

    /// Answers a request.
    static func answer(path: String, from board: SnapshotBoard) -> HTTPResponse {
        switch path {
        case "/": return HTTPResponse(contentType: "text/html; charset=utf-8", body: DashboardPage.html)
        case "/page.css": return HTTPResponse(contentType: "text/css; charset=utf-8", body: DashboardPage.style)
        case "/page.js": return HTTPResponse(contentType: "text/javascript; charset=utf-8", body: DashboardPage.script)
        case "/health": return health(board)
        case "/snapshot.json", "/ranking.json", "/metrics": break
        default: return .error(404, "there is nothing at \(path); see /, /metrics, /health, /ranking.json")
        }
        guard let (snapshot, _) = board.read() else { return .error(503, "the run is starting") }
        switch path {
        case "/metrics":
            return HTTPResponse(
                contentType: "text/plain; version=0.0.4; charset=utf-8", body: snapshot.prometheusText)
        case "/ranking.json": return json(LiveRanking(snapshot))
        default: return HTTPResponse(contentType: "application/json", body: snapshot.forPage.json)
        }
    }

    private static func health(_ board: SnapshotBoard) -> HTTPResponse {
        guard let (snapshot, age) = board.read() else { return .error(503, "the run is starting") }
        guard age < staleAfter || snapshot.phase == .finished || snapshot.phase == .fitting else {
            return .error(503, "the coordinator has not turned its loop for \(age.components.seconds) s")
        }
        let text = snapshot.stall.map { "\(snapshot.phase.rawValue), but nothing progresses: \($0)" }
        return HTTPResponse(
            contentType: "text/plain; charset=utf-8", body: (text ?? snapshot.phase.rawValue) + "\n")
    }

    private static func json(_ value: some Encodable) -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(value) else { return .error(500, "the snapshot cannot be written") }
        return HTTPResponse(contentType: "application/json", body: String(decoding: data, as: UTF8.self))
    }
}

/// The ranking so far, as `/ranking.json` gives it: least important first, in the words of the report's `ranking.json`.
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
        masks = snapshot.settling.last?.masks ?? 0
        split_half_correlation = snapshot.settling.last?.splitHalfCorrelation
        var rows: [Row] = []
        for (index, filter) in snapshot.ranking.enumerated() {
            rows.append(
                Row(
                    rank: index + 1, layer: filter.layer, filter: filter.filter, importance: filter.importance,
                    standard_error: filter.standardError, ci_low: filter.importance - 1.96 * filter.standardError,
                    ci_high: filter.importance + 1.96 * filter.standardError))
        }
        ranking = rows
    }
}
