import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Workers that answer leases in virtual time, and the estimates that a user would see.
private struct VirtualRun {
    /// A worker: its evaluations per second, and its lease.
    private struct Machine {
        let id: WorkerID
        let masksPerSecond: Double
        var evaluations = 0
        var lease = 0
        var ends = 0.0
    }

    let masks: Int
    private(set) var time = 0.0
    private(set) var recorded = 0
    private var machines: [Machine] = []
    private var generator = SeededGenerator(seed: 5)
    var rate = WorkRate()

    init(masks: Int, workers: [Double]) {
        self.masks = masks
        for (index, speed) in workers.enumerated() {
            machines.append(Machine(id: WorkerID(high: UInt64(index), low: 1), masksPerSecond: speed))
            grant(index)
        }
    }

    /// Leases are worth one to two seconds; sharing makes some masks cheaper than others.
    private mutating func grant(_ index: Int) {
        let speed = machines[index].masksPerSecond
        let lease = max(1, (speed * Double.random(in: 1...2, using: &generator)).rounded())
        machines[index].lease = Int(lease)
        machines[index].ends = time + lease / speed * Double.random(in: 0.7...1.3, using: &generator)
    }

    mutating func dismissAll() { machines = [] }
    mutating func dismiss(_ index: Int) { machines.remove(at: index) }

    /// Continues for a second, like the coordinator's loop between two looks.
    mutating func second() {
        time += 1
        for index in machines.indices {
            while machines[index].ends <= time, recorded < masks {
                recorded += machines[index].lease
                machines[index].evaluations += machines[index].lease
                let end = machines[index].ends
                grant(index)
                machines[index].ends += end - time
            }
        }
        rate.update(snapshot, at: time)
    }

    private var snapshot: Scheduler.Snapshot {
        Scheduler.Snapshot(
            masks: masks, recorded: recorded, leased: machines.reduce(0) { $0 + $1.lease }, pending: 0, unverified: 0,
            setAside: [:], setAsideCount: 0,
            workers: machines.map {
                Scheduler.Snapshot.Worker(
                    id: $0.id, host: "here", instructionSet: "avx2", threads: 1, state: "computing",
                    masksPerSecond: nil, leases: 2, evaluations: $0.evaluations, silentMilliseconds: 0)
            }, figures: Scheduler.Figures(),
            whyIdle: machines.isEmpty ? "no workers connected for 1 s" : nil)
    }
}

@Test(arguments: [[20.0], [3, 40], [0.8, 0.9], Array(repeating: 6, count: 24)])
func onASteadyMachineTheTimeLeftMovesByLessThanATenthInAMinute(workers: [Double]) throws {
    let total = workers.reduce(0, +)
    var run = VirtualRun(masks: Int(total * 3600), workers: workers)
    var minutes: [Double] = []
    while run.time < 2400 {
        run.second()
        if run.time >= 60, Int(run.time) % 60 == 0 { minutes.append(try #require(run.rate.secondsLeft)) }
    }
    for (earlier, later) in zip(minutes, minutes.dropFirst()) {
        // A minute later a minute less is left.
        #expect(abs(later - (earlier - 60)) < 0.1 * earlier, "\(earlier) s, then \(later) s")
    }
    #expect(abs(run.rate.masksPerSecond - total) < 0.1 * total)
    let actual = Double(run.masks - run.recorded) / total
    #expect(abs((run.rate.secondsLeft ?? 0) - actual) < 0.1 * actual)
}

@Test func withNoWorkerThereIsNoEstimate() {
    var run = VirtualRun(masks: 100_000, workers: [10, 10])
    #expect(run.rate.secondsLeft == nil)
    for _ in 0..<300 { run.second() }
    #expect(run.rate.secondsLeft != nil)
    // One worker less is seen at once.
    let before = run.rate.masksPerSecond
    run.dismiss(0)
    run.second()
    #expect(abs(run.rate.masksPerSecond - before / 2) < 0.1 * before)
    run.dismissAll()
    run.second()
    #expect(run.rate.secondsLeft == nil)
    #expect(run.rate.masksPerSecond == 0)
}
