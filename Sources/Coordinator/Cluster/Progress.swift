import Foundation
import Shared

/// Tells the user how a run goes: a line that changes on a terminal, a line now and then elsewhere, and always why
/// nothing progresses.
final class Progress {
    /// Seconds between two lines where there is no terminal.
    private static let linesEvery: Double = 10
    /// Seconds after which a standstill is told, and told again.
    private static let standstillAfter: Double = 5
    private static let standstillEvery: Double = 30

    private let images: Int
    private let endpoint: String
    private var lastLine = -Double.infinity
    private var lastStandstill = -Double.infinity
    private var idleSince: Double?

    /// The progress of a run whose masks are evaluated on so many images, and whose workers connect to `endpoint`.
    init(images: Int, endpoint: String) {
        self.images = images
        self.endpoint = endpoint
    }

    /// How the run stands at a time in seconds, and how fast it is; `splitHalf` is the ranking's current split-half
    /// correlation, where known.
    func update(_ run: Scheduler.Snapshot, _ rate: WorkRate, splitHalf: Double?, at time: Double) {
        let text = line(run, rate, splitHalf: splitHalf)
        Log.shared.setStatus(text)
        if !Log.shared.isTerminal, time - lastLine >= Self.linesEvery {
            lastLine = time
            Log.shared.line(text)
        }
        tellStandstill(run, at: time)
    }

    private func line(_ run: Scheduler.Snapshot, _ rate: WorkRate, splitHalf: Double?) -> String {
        var parts = ["\(run.recorded)/\(run.masks) masks"]
        if rate.masksPerSecond > 0 {
            parts.append("\(Self.short(rate.masksPerSecond)) masks/s")
            parts.append("\(Self.short(rate.masksPerSecond * Double(images))) images/s")
        }
        parts.append(run.workers.count == 1 ? "1 worker" : "\(run.workers.count) workers")
        if let left = rate.secondsLeft, run.recorded + run.setAsideCount < run.masks {
            parts.append("\(Self.duration(left)) left")
        }
        if let splitHalf { parts.append("split-half correlation \(Text.fixed(splitHalf, 2))") }
        if run.setAsideCount > 0 { parts.append("\(run.setAsideCount) set aside") }
        return parts.joined(separator: ", ")
    }

    private func tellStandstill(_ run: Scheduler.Snapshot, at time: Double) {
        guard let reason = run.whyIdle else {
            idleSince = nil
            return
        }
        let since = idleSince ?? time
        idleSince = since
        guard time - since >= Self.standstillAfter, time - lastStandstill >= Self.standstillEvery else { return }
        lastStandstill = time
        let help = run.workers.isEmpty ? "; start one with 'winnow-worker serve --connect \(endpoint)'" : ""
        Log.shared.line("nothing progresses: \(reason)\(help)")
    }

    /// Three significant digits: `0.123`, `12.3`, `1230`.
    static func short(_ value: Double) -> String {
        value >= 100 ? String(Int(value.rounded())) : Text.fixed(value, value >= 10 ? 1 : value >= 1 ? 2 : 3)
    }

    /// `45 s`, `12 min`, `3.5 h`.
    static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<90: "\(Int(seconds.rounded(.up))) s"
        case ..<5400: "\(Int((seconds / 60).rounded(.up))) min"
        default: "\(Text.fixed(seconds / 3600, 1)) h"
        }
    }
}
