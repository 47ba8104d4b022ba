import Foundation
import Shared

/// The ranking during the run, for the progress line and the live page: now and then the model is fitted to the
/// recorded evaluations, on a separate thread, so the coordinator's loop never waits for it.
final class RankingMonitor: Sendable {
    /// How far the ranking had settled after a number of masks.
    struct Settling: Sendable, Equatable {
        let masks: Int
        /// Spearman's correlation of the rankings from two halves of the masks.
        let splitHalfCorrelation: Double
        /// R² on held-out masks.
        let heldOutRSquared: Double?
        /// The ranking's reliability.
        var reliability: Double?
    }

    /// What is known so far.
    struct State: Sendable {
        /// The filters by importance, the least important first.
        var ranking: [AdditiveFit.Estimate] = []
        /// The number of masks in the ranking.
        var masks = 0
        /// How the ranking settled, oldest first.
        var settling: [Settling] = []
        /// About how many masks give the target reliability; nil if unknown.
        var masksNeeded: Double?

        /// What a run file keeps of it; nil while nothing is known.
        func forecast(aim: Double) -> RunFile.Forecast? {
            guard let last = settling.last, let reliability = last.reliability else { return nil }
            return RunFile.Forecast(masks: last.masks, reliability: reliability, aim: aim, masksNeeded: masksNeeded)
        }
    }

    /// The share of one core's time for fitting, after its first seconds, so that short runs also show how their
    /// ranking settles.
    private static let share = 0.02
    private static let freeSeconds = 5.0
    /// More filters than this are only ranked at the end: one fit would take minutes.
    private static let filtersMax = 4096
    /// The first fit waits for this many masks per filter, or half of the run's: fewer only order the layers.
    private static let firstMasksPerFilter = 0.25
    /// New masks that justify a fit: this share of those fitted before.
    private static let growth = 0.1
    /// New masks after which the ranking is fitted at any cost: this share of the run's.
    private static let staleShare = 0.2
    /// The most points of the settling curve; beyond that every second one is dropped.
    private static let pointsMax = 400
    private static let pauseSeconds = 0.25

    /// What was recorded since the thread last looked.
    private struct Inbox {
        var items: [(mask: Int, evaluation: Evaluation)] = []
        var isOver = false
    }

    private let ensemble: Ensemble
    private let rotation: ImageRotation?
    private let features: FilterFeatures
    /// The reliability that the run aims at, or else the one to forecast.
    let aim: Double
    /// When the run has settled; nil if that does not end it.
    private let settlement: Locked<Settlement?>
    /// Whether the filters are few enough.
    private let isFitted: Bool
    private let inbox = Locked(Inbox())
    /// What has been taken out of the inbox, one place per mask.
    private let evaluated: Locked<[Evaluation?]>
    /// Held while it is looked whether the run has settled.
    private let looking = Locked(())
    private let outbox = Locked(State())

    /// Begins without evaluations.
    init(
        _ ensemble: Ensemble, rotation: ImageRotation? = nil, features: FilterFeatures = .none, aim: Double? = nil
    ) {
        self.aim = aim ?? Report.Verdict.filtersReliability
        settlement = Locked(
            aim.map {
                Settlement(
                    aim: $0, filters: ensemble.participating.count, group: rotation?.masks ?? ensemble.groupSize,
                    most: ensemble.count)
            })
        evaluated = Locked([Evaluation?](repeating: nil, count: ensemble.count))
        self.ensemble = ensemble
        self.rotation = rotation
        self.features = features
        isFitted = ensemble.participating.count <= Self.filtersMax
        guard isFitted || aim != nil else { return }
        // A fit still running when the run ends is abandoned: its result is not needed.
        _ = BackgroundThread(name: "ranking", stackBytes: 8 << 20) { [self] in fitNowAndThen() }
    }

    /// What is known so far.
    var state: State { outbox.withLock { $0 } }

    /// Takes recorded evaluations. O(1) each.
    func record(_ items: some Sequence<(mask: Int, evaluation: Evaluation)>) {
        guard isFitted || hasAim else { return }
        inbox.withLock { $0.items += items }
    }

    /// Ends the thread.
    func stop() { inbox.withLock { $0.isOver = true } }

    /// After how many masks the run has settled, as far as checked; nil if it has not.
    var settledMasks: Int? { settlement.withLock { $0?.masks } }

    private var hasAim: Bool { settlement.withLock { $0 != nil } }

    /// Takes the recorded evaluations and checks whether the run has settled, on this thread. Returns after how many
    /// masks; nil if it has not.
    @discardableResult
    func settle() -> Int? {
        takeRecorded()
        return looking.withLock { _ in
            while let masks = settlement.withLock({ $0?.next }) {
                let first = evaluated.withLock { Array($0.prefix(masks)) }
                guard first.allSatisfy({ $0 != nil }) else { break }
                let fit = try? AdditiveFit(ensemble, evaluations: first, rotation: rotation, features: features)
                settlement.withLock { $0?.looked(fit?.reliability) }
            }
            return settledMasks
        }
    }

    /// Empties the inbox. Returns whether the thread shall end.
    @discardableResult
    private func takeRecorded() -> Bool {
        let (items, isOver) = inbox.withLock { inbox in
            defer { inbox.items = [] }
            return (inbox.items, inbox.isOver)
        }
        evaluated.withLock { evaluated in
            for item in items where evaluated.indices.contains(item.mask) { evaluated[item.mask] = item.evaluation }
        }
        return isOver
    }

    private func fitNowAndThen() {
        var fitted = 0
        let first = Swift.min(
            Int(Self.firstMasksPerFilter * Double(ensemble.participating.count)), ensemble.count / 2)
        let began = ContinuousClock.now
        var spent = Duration.zero
        while true {
            Thread.sleep(forTimeInterval: Self.pauseSeconds)
            if takeRecorded() { return }
            settle()
            guard isFitted else { continue }
            let count = evaluated.withLock { $0.count { $0 != nil } }
            let needed = Swift.max(first, fitted + 1, Int(Double(fitted) * (1 + Self.growth)))
            let rest = Swift.max(.zero, spent - .seconds(Self.freeSeconds)) * (1 / Self.share)
            let isStale = fitted > 0 && Double(count - fitted) >= Self.staleShare * Double(ensemble.count)
            guard ContinuousClock.now >= began + rest || isStale, count >= needed else { continue }
            fitted = count
            let start = ContinuousClock.now
            let evaluations = evaluated.withLock { $0 }
            // Too few masks are no fault here: more are coming.
            let fit = try? AdditiveFit(
                ensemble, evaluations: evaluations, rotation: rotation, features: features)
            if let fit { publish(fit) }
            spent += start.duration(to: .now)
        }
    }

    private func publish(_ fit: AdditiveFit) {
        let ranking = fit.estimates.sorted { ($0.importance, $0.filter) < ($1.importance, $1.filter) }
        outbox.withLock { state in
            (state.ranking, state.masks) = (ranking, fit.masks)
            state.masksNeeded = fit.masksNeeded(for: aim)
            guard let splitHalf = fit.splitHalf else { return }
            let point = Settling(
                masks: fit.masks, splitHalfCorrelation: splitHalf, heldOutRSquared: fit.heldOutRSquared,
                reliability: fit.reliability)
            // A new array: readers may be using the old one.
            state.settling = state.settling + [point]
            if state.settling.count > Self.pointsMax {
                state.settling = stride(from: 1, to: state.settling.count, by: 2).map { state.settling[$0] }
            }
        }
    }
}
