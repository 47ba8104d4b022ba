import Foundation
import Shared

/// How fast a run's connected workers evaluate masks, and how long the rest takes: the one estimate that the progress
/// line, the live page and the metrics show.
///
/// Workers answer leases of seconds, so masks that were recorded in a window of seconds say little. A worker's pace is
/// what it answered over the time that it worked for the answers, older ones counting less; idle time counts for nothing,
/// and an answer that is long overdue slows the pace. The rate is the sum over the workers that are there, so it follows
/// who comes and goes at once. No clock is in it.
struct WorkRate {
    /// Seconds after which an answer counts for a third.
    private static let memorySeconds = 180.0
    /// How many times a worker's usual interval between answers may pass before its silence counts.
    private static let patience = 3.0

    private struct Pace {
        /// Its evaluations when it last answered, and when that was.
        var evaluations: Int
        var since: Double
        /// Masks and seconds of the answers, and the answers, as far as they still count.
        var masks = 0.0
        var seconds = 0.0
        var answers = 0.0
        /// What comes of it, in masks per second.
        var rate = 0.0
    }

    private var paces: [WorkerID: Pace] = [:]
    /// Masks that all connected workers evaluate in a second; 0 while no worker has answered.
    private(set) var masksPerSecond = 0.0
    /// The seconds that the rest of the run takes at this rate; nil with no worker, and while nothing progresses.
    private(set) var secondsLeft: Double?

    /// Takes in how a run stands at a time, in seconds that do not go back. `masksNeeded` is how many masks the run takes,
    /// where it will probably end before all are evaluated. O(workers).
    mutating func update(_ run: Scheduler.Snapshot, at time: Double, masksNeeded: Double? = nil) {
        var next: [WorkerID: Pace] = [:]
        next.reserveCapacity(run.workers.count)
        var rate = 0.0
        var inFlight = 0.0
        for worker in run.workers {
            var pace = paces[worker.id] ?? Pace(evaluations: worker.evaluations, since: time)
            if worker.evaluations > pace.evaluations {
                let seconds = max(time - pace.since, 0)
                let kept = exp(-seconds / Self.memorySeconds)
                pace.masks = pace.masks * kept + Double(worker.evaluations - pace.evaluations)
                pace.seconds = pace.seconds * kept + seconds
                pace.answers = pace.answers * kept + 1
                (pace.evaluations, pace.since) = (worker.evaluations, time)
            } else if worker.leases == 0 || worker.evaluations < pace.evaluations {
                (pace.evaluations, pace.since) = (worker.evaluations, time)
            }
            pace.rate = Self.rate(of: pace, worker, at: time)
            rate += pace.rate
            inFlight += pace.rate * (time - pace.since)
            next[worker.id] = pace
        }
        paces = next
        masksPerSecond = rate
        let masks = min(Double(run.masks), masksNeeded ?? .infinity)
        let left = max(masks - Double(run.recorded + run.setAsideCount) + Double(run.unverified), 0)
        let open = max(0, left - min(inFlight, Double(run.leased)))
        secondsLeft = rate > 0 && run.whyIdle == nil ? open / rate : nil
    }

    /// Masks that one worker evaluates in a second; 0 where it is not connected or has not answered.
    func masksPerSecond(of worker: WorkerID) -> Double { paces[worker]?.rate ?? 0 }

    private static func rate(of pace: Pace, _ worker: Scheduler.Snapshot.Worker, at time: Double) -> Double {
        // Before it answered here: what its first lease is expected to take, where that is known.
        guard pace.seconds > 0 else { return worker.masksPerSecond ?? 0 }
        let overdue = max(0, time - pace.since - patience * pace.seconds / pace.answers)
        return pace.masks / (pace.seconds + overdue)
    }
}
