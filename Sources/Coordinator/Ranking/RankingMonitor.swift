import Foundation
import Shared

/// The ranking while the run goes on, for the progress line and the live page: the model is fitted now and then to what
/// has been recorded, on a thread of its own, so that the coordinator's loop never waits for it.
final class RankingMonitor: Sendable {
    /// How far the ranking had settled after a number of masks.
    struct Settling: Sendable, Equatable {
        let masks: Int
        /// Spearman's correlation of the rankings from two halves of the masks.
        let splitHalfCorrelation: Double
        /// R² on masks that the fit has not seen.
        let heldOutRSquared: Double?
    }

    /// What is known so far.
    struct State: Sendable {
        /// The filters by importance, the least important first.
        var ranking: [AdditiveFit.Estimate] = []
        /// The masks that the ranking knows of.
        var masks = 0
        /// How the ranking settled, oldest first.
        var settling: [Settling] = []
    }

    /// The share of one core's time that fitting may take, after the first seconds of it, so that short runs show too how
    /// their ranking settles.
    private static let share = 0.02
    private static let freeSeconds = 5.0
    /// More filters than this are ranked at the end only: one fit would take minutes.
    private static let filtersMax = 4096
    /// The first fit waits for this many masks for each filter, or half of the run's: fewer order the layers only.
    private static let firstMasksPerFilter = 0.25
    /// New masks that a fit is worth: this share of those that were fitted before.
    private static let growth = 0.1
    /// New masks after which the ranking is fitted whatever that costs: this share of the run's.
    private static let staleShare = 0.2
    /// Points of the settling curve at most; then every second one is dropped.
    private static let pointsMax = 400
    private static let pauseSeconds = 0.25

    /// What was recorded since the thread last looked.
    private struct Inbox {
        var items: [(mask: Int, evaluation: Evaluation)] = []
        var isOver = false
    }

    private let ensemble: Ensemble
    /// Whether the filters are few enough.
    private let isFitted: Bool
    private let inbox = Locked(Inbox())
    private let outbox = Locked(State())

    /// Begins without evaluations.
    init(_ ensemble: Ensemble) {
        self.ensemble = ensemble
        isFitted = ensemble.participating.count <= Self.filtersMax
        guard isFitted else { return }
        // A fit that goes on when the run ends is left behind: its result is not needed.
        _ = BackgroundThread(name: "ranking", stackBytes: 8 << 20) { [self] in fitNowAndThen() }
    }

    /// What is known so far.
    var state: State { outbox.withLock { $0 } }

    /// Takes evaluations that were recorded. O(1) for each.
    func record(_ items: some Sequence<(mask: Int, evaluation: Evaluation)>) {
        guard isFitted else { return }
        inbox.withLock { $0.items += items }
    }

    /// Ends the thread.
    func stop() { inbox.withLock { $0.isOver = true } }

    private func fitNowAndThen() {
        var evaluations = [Evaluation?](repeating: nil, count: ensemble.count)
        var count = 0
        var fitted = 0
        let first = Swift.min(
            Int(Self.firstMasksPerFilter * Double(ensemble.participating.count)), ensemble.count / 2)
        let began = ContinuousClock.now
        var spent = Duration.zero
        while true {
            Thread.sleep(forTimeInterval: Self.pauseSeconds)
            let (items, isOver) = inbox.withLock { inbox in
                defer { inbox.items = [] }
                return (inbox.items, inbox.isOver)
            }
            if isOver { return }
            for item in items where evaluations.indices.contains(item.mask) {
                if evaluations[item.mask] == nil { count += 1 }
                evaluations[item.mask] = item.evaluation
            }
            let needed = Swift.max(first, fitted + 1, Int(Double(fitted) * (1 + Self.growth)))
            let rest = Swift.max(.zero, spent - .seconds(Self.freeSeconds)) * (1 / Self.share)
            let isStale = fitted > 0 && Double(count - fitted) >= Self.staleShare * Double(ensemble.count)
            guard ContinuousClock.now >= began + rest || isStale, count >= needed else { continue }
            fitted = count
            let start = ContinuousClock.now
            // Too few masks are no fault here: more are coming.
            if let fit = try? AdditiveFit(ensemble, evaluations: evaluations) { publish(fit) }
            spent += start.duration(to: .now)
        }
    }

    private func publish(_ fit: AdditiveFit) {
        let ranking = fit.estimates.sorted { ($0.importance, $0.filter) < ($1.importance, $1.filter) }
        outbox.withLock { state in
            (state.ranking, state.masks) = (ranking, fit.masks)
            guard let splitHalf = fit.splitHalf else { return }
            let point = Settling(
                masks: fit.masks, splitHalfCorrelation: splitHalf, heldOutRSquared: fit.heldOutRSquared)
            // A new array: readers may be at the old one.
            state.settling = state.settling + [point]
            if state.settling.count > Self.pointsMax {
                state.settling = stride(from: 1, to: state.settling.count, by: 2).map { state.settling[$0] }
            }
        }
    }
}
