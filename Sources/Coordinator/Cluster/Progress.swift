import Foundation
import Shared

/// Shows the user a run's progress: a changing line on a terminal, a line now and then elsewhere, and always why there
/// is no progress.
final class Progress {
    /// Seconds between two lines without a terminal.
    private static let linesEvery: Double = 10
    /// Seconds without progress before reporting it, and between reports.
    private static let standstillAfter: Double = 5
    private static let standstillEvery: Double = 30

    private let images: Int
    private let endpoint: String
    private var lastLine = -Double.infinity
    private var lastStandstill = -Double.infinity
    private var idleSince: Double?

    /// The progress of a run with this many images per mask, whose workers connect to `endpoint`.
    init(images: Int, endpoint: String) {
        self.images = images
        self.endpoint = endpoint
    }

    /// Takes the run's state at a time in seconds, its rate, and the ranking's reliability; `aim` is the reliability to
    /// forecast masks for.
    func update(
        _ run: Scheduler.Snapshot, _ rate: WorkRate, _ known: RankingMonitor.State, aim: Double, at time: Double
    ) {
        let text = line(run, rate, known, aim)
        Log.shared.setStatus(text)
        if !Log.shared.isTerminal, time - lastLine >= Self.linesEvery {
            lastLine = time
            Log.shared.line(text)
        }
        tellStandstill(run, at: time)
    }

    private func line(
        _ run: Scheduler.Snapshot, _ rate: WorkRate, _ known: RankingMonitor.State, _ aim: Double
    ) -> String {
        var parts = ["\(run.recorded)/\(run.masks) masks"]
        if rate.masksPerSecond > 0 {
            parts.append("\(Self.short(rate.masksPerSecond)) masks/s")
            parts.append("\(Self.short(rate.masksPerSecond * Double(images))) images/s")
        }
        parts.append(run.workers.count == 1 ? "1 worker" : "\(run.workers.count) workers")
        if let left = rate.secondsLeft, run.recorded + run.setAsideCount < run.masks {
            parts.append("\(Self.duration(left)) left")
        }
        if let reliability = known.settling.last?.reliability {
            parts.append("reliability \(Text.fixed(reliability, 2))")
            if reliability < aim, let needed = known.masksNeeded, needed < 1e9 {
                parts.append("about \(Self.rounded(needed)) masks for \(Text.fixed(aim, 2))")
            }
        }
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
        Log.shared.line("no progress: \(reason)\(help)")
    }

    /// Three significant digits: `0.123`, `12.3`, `1230`.
    static func short(_ value: Double) -> String {
        value >= 100 ? String(Int(value.rounded())) : Text.fixed(value, value >= 10 ? 1 : value >= 1 ? 2 : 3)
    }

    /// Two significant digits: `870`, `2100`.
    static func rounded(_ count: Double) -> Int {
        let step = pow(10, max(floor(log10(max(count, 1))) - 1, 0))
        return Int((count / step).rounded() * step)
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
