import Coordinator
import Shared
import TestSupport

/// What a seed decides before the run begins: how large it is and what goes wrong.
struct Scenario {
    var masks: Int
    var filters: Int
    var workers: Int
    /// When the faults end.
    var calmAt: Moment
    /// Shares of messages that are dropped, delivered twice, changed, or late by seconds.
    var dropped = 0.0, repeated = 0.0, corrupted = 0.0, late = 0.0
    /// The longest usual delay.
    var delayMillisecondsMax: Int64
    /// The mean time between two faults of a process or a line; nil for none.
    var faultEveryMilliseconds: Int64?
    /// The chance that the coordinator dies between two actions.
    var coordinatorDies = 0.0
    /// Masks that kill whoever evaluates them.
    var poison: Set<Int> = []
    /// Masks that cannot be evaluated.
    var failing: Set<Int> = []
    /// Workers that send what no honest worker sends.
    var rogues: Set<Int> = []
    /// Workers whose losses are wrong.
    var liars: Set<Int> = []
    /// The chance that a lease never ends on a worker that otherwise lives.
    var computationHangs = 0.0
    var policy = SchedulingPolicy()

    init(random: inout SeededGenerator) {
        masks = .random(in: 1...120, using: &random)
        filters = .random(in: 1...150, using: &random)
        workers = .random(in: 1...6, using: &random)
        calmAt = Moment(milliseconds: .random(in: 2000...30_000, using: &random))
        delayMillisecondsMax = .random(in: 1...100, using: &random)
        func often(_ share: Double) -> Bool { .random(in: 0..<1, using: &random) < share }
        if often(0.5) { dropped = .random(in: 0...0.2, using: &random) }
        if often(0.5) { repeated = .random(in: 0...0.2, using: &random) }
        if often(0.4) { corrupted = .random(in: 0...0.05, using: &random) }
        if often(0.4) { late = .random(in: 0...0.1, using: &random) }
        if often(0.8) { faultEveryMilliseconds = .random(in: 500...10_000, using: &random) }
        if often(0.3) { coordinatorDies = .random(in: 0...0.01, using: &random) }
        if often(0.15) { poison = [Int.random(in: 0..<masks, using: &random)] }
        if often(0.1) { failing = [Int.random(in: 0..<masks, using: &random)] }
        if often(0.2) { computationHangs = .random(in: 0...0.1, using: &random) }
        policy.leasesPerWorker = .random(in: 1...3, using: &random)
        policy.firstLeaseMasks = .random(in: 1...8, using: &random)
        policy.masksPerLeaseMax = .random(in: 1...40, using: &random)
        policy.maskSubgroup = .random(in: 1...3, using: &random)
        policy.maskGroup = policy.maskSubgroup * .random(in: 1...4, using: &random)
        policy.groupMillisecondsMax = .random(in: 0...2000, using: &random)
        policy.firstDeadlineMilliseconds = 20_000
        policy.deadlineMillisecondsMin = 8000
        // What a line damages is not the worker's fault.
        policy.unreadableMax = 1_000_000
        policy.verificationSeed = .random(in: 0 ... .max, using: &random)
        if often(0.3) {
            policy.verifiedShare = often(0.5) ? 1 : .random(in: 0...1, using: &random)
            workers += 3
            // With every mask verified no lie may survive.
            if policy.verifiedShare == 1, often(0.6) { liars = [workers - 1] }
        }
        if often(0.2) {
            rogues = [workers]
            workers += 1
        }
    }
}

/// Where a run went wrong.
public struct SimulationFailure: Error, CustomStringConvertible {
    /// The seed that shows it again.
    public let seed: UInt64
    /// What went wrong.
    public let what: String
    /// The failing seed, the time and the matter.
    public var description: String { "seed \(seed): \(what)" }
}
