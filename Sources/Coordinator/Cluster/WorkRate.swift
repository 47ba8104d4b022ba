import Foundation
import Shared

/// How fast a run's connected workers evaluate masks, and how long the rest takes: the single estimate for the progress
/// line, the live page and the metrics.
///
/// Workers answer leases of seconds, so counting masks in a window of seconds says little. A worker's rate is its
/// results over the time it worked on them, with less weight for older ones; idle time does not count, and a long
/// overdue answer lowers the rate. The total is the sum over the connected workers, so it follows arrivals and
/// departures at once. It has no clock.
struct WorkRate {
    /// Seconds after which an answer counts for a third.
    private static let memorySeconds = 180.0
    /// How many of a worker's usual intervals between answers may pass before its silence counts.
    private static let patience = 3.0

    private struct Pace {
        /// Its evaluations at its last answer, and the time of that.
        var evaluations: Int
        var since: Double
        /// Masks and seconds of the answers, and the number of answers, with their present weights.
        var masks = 0.0
        var seconds = 0.0
        var answers = 0.0
        /// The result, in masks per second.
        var rate = 0.0
    }

    private var paces: [WorkerID: Pace] = [:]
    /// Masks per second of all connected workers; 0 until a worker has answered.
    private(set) var masksPerSecond = 0.0
    /// The seconds that the rest of the run takes at this rate; nil without workers or progress.
    private(set) var secondsLeft: Double?

    /// Takes the run's state at a time, in monotonic seconds. `masksNeeded` is the number of masks that the run takes,
    /// if it will probably end before all are evaluated. O(workers).
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

    /// Masks per second of one worker; 0 if it is not connected or has not answered.
    func masksPerSecond(of worker: WorkerID) -> Double { paces[worker]?.rate ?? 0 }

    private static func rate(of pace: Pace, _ worker: Scheduler.Snapshot.Worker, at time: Double) -> Double {
        // Before its first answer: the expected time of its first lease, if known.
        guard pace.seconds > 0 else { return worker.masksPerSecond ?? 0 }
        let overdue = max(0, time - pace.since - patience * pace.seconds / pace.answers)
        return pace.masks / (pace.seconds + overdue)
    }
}
