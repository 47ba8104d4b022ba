import Shared
import TestSupport

@testable import Coordinator

/// A seed's decisions before the run begins: how large it is and what goes wrong.
struct Scenario {
    var masks: Int
    var filters: Int
    var workers: Int
    /// When the faults end.
    var calmAt: Moment
    /// Shares of messages that are dropped, duplicated, corrupted, or late by seconds.
    var dropped = 0.0, repeated = 0.0, corrupted = 0.0, late = 0.0
    /// The longest usual delay.
    var delayMillisecondsMax: Int64
    /// The mean time between two faults of a process or a line; nil for none.
    var faultEveryMilliseconds: Int64?
    /// The chance that the coordinator dies between two actions.
    var coordinatorDies = 0.0
    /// Masks that kill any worker that evaluates them.
    var poison: Set<Int> = []
    /// Masks that cannot be evaluated.
    var failing: Set<Int> = []
    /// Workers that send messages that no honest worker sends.
    var rogues: Set<Int> = []
    /// Workers whose losses are wrong; they come from one host and tell the same lies.
    var liars: Set<Int> = []
    /// Workers that die after every computation, or most of them.
    var crashers: Set<Int> = []
    /// Workers that send heartbeats and never answer.
    var hung: Set<Int> = []
    /// Workers whose answers have no evaluations.
    var empty: Set<Int> = []
    /// Whether workers have keys, one for each host.
    var hasKeys = false
    /// How long the coordinator takes for each message while faults happen.
    var turnMilliseconds: Int64 = 0
    /// The chance that a lease never ends on a worker that otherwise lives.
    var computationHangs = 0.0
    var policy = SchedulingPolicy()
    /// Whether a network is trained instead of masks evaluated.
    var isTraining = false
    /// The chance that a training is saved after a step; after an epoch it always is.
    var saved = 0.0

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
        // Damage on a line is not the worker's fault.
        policy.limits.unreadableMax = 1_000_000
        policy.verificationSeed = .random(in: 0 ... .max, using: &random)
        hasKeys = often(0.5)
        if often(0.3) {
            policy.verifiedShare = often(0.5) ? 1 : .random(in: 0...1, using: &random)
            policy.verificationWaits = often(0.5)
            workers += 3
            // With every mask verified no lie may survive, however many names the liar has.
            if policy.verifiedShare == 1, often(0.6) {
                policy.verificationWaits = true
                liars = Set(workers..<workers + Int.random(in: 1...4, using: &random))
                workers += liars.count
            }
        }
        func add(_ share: Double, _ kind: WritableKeyPath<Self, Set<Int>>, upTo most: Int) {
            guard often(share) else { return }
            let count = Int.random(in: 1...most, using: &random)
            self[keyPath: kind] = Set(workers..<workers + count)
            workers += count
        }
        add(0.2, \.rogues, upTo: 1)
        add(0.15, \.crashers, upTo: 2)
        add(0.1, \.hung, upTo: 3)
        add(0.1, \.empty, upTo: 3)
        if often(0.15) { turnMilliseconds = .random(in: 1...30, using: &random) }
        isTraining = often(0.3)
        saved = often(0.5) ? 0 : .random(in: 0...1, using: &random)
    }

    /// Whether a worker does its work, as far as the faults let it.
    func isHealthy(_ worker: Int) -> Bool {
        ![rogues, liars, crashers, hung, empty].contains { $0.contains(worker) }
    }

    /// Where a worker connects from.
    func origin(of worker: Int) -> Origin {
        let host = liars.contains(worker) ? liars.min() ?? worker : worker
        return Origin(key: hasKeys ? "key \(host)" : nil, address: "host \(host)")
    }

    /// Whether nothing but these workers can have masks set aside.
    var isCalm: Bool {
        faultEveryMilliseconds == nil && coordinatorDies == 0 && computationHangs == 0 && dropped == 0 && late == 0
            && corrupted == 0 && turnMilliseconds == 0
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
