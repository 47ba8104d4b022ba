import Shared
import Testing

@testable import Coordinator

private func state(_ recorded: Int, workers: [WorkerID] = [], idle: String? = nil) -> Scheduler.Snapshot {
    Scheduler.Snapshot(
        masks: 1000, recorded: recorded, leased: 0, pending: 1000 - recorded, unverified: 0, setAside: [:],
        setAsideCount: 0,
        workers: workers.map {
            Scheduler.Snapshot.Worker(
                id: $0, host: "here", instructionSet: "avx2", threads: 2, state: "computing", masksPerSecond: 2,
                leases: 1,
                evaluations: recorded, silentMilliseconds: 500)
        }, figures: Scheduler.Figures(), whyIdle: idle)
}

/// Follows a run's states, a second after the other, as the coordinator's loop does.
private struct Follower {
    var history: RunHistory
    var rate = WorkRate()
    var time = 1000.0

    init() {
        var description = RunSnapshot()
        description.imagesPerMask = 100
        description.started = 1000
        history = RunHistory(description)
    }

    mutating func see(_ state: Scheduler.Snapshot, after seconds: Double = 1) -> RunSnapshot {
        time += seconds
        rate.update(state, at: time)
        return history.snapshot(of: state, rate, phase: .running, at: time)
    }
}

private let someone = WorkerID(high: 1, low: 1)

@Test func ratesAndTimeLeftFollowTheMasks() {
    var follower = Follower()
    var last = RunSnapshot()
    for second in 0...60 { last = follower.see(state(200 + 5 * second, workers: [someone])) }
    #expect(abs(last.masksPerSecond - 5) < 1e-6)
    #expect(abs(last.imagesPerSecond - 500) < 1e-4)
    #expect(last.secondsLeft.map { abs($0 - 100) < 1e-3 } == true)
    // Evaluations that were in the run file before this process count as progress, not as throughput.
    #expect(last.evaluationsReceived == 300)
    // The page's rows are parts of the page's rate.
    #expect(last.workers.first.map { abs($0.imagesPerSecond - last.imagesPerSecond) < 1e-9 } == true)
    // A worker that no longer answers slows the rate down.
    for _ in 61...600 { last = follower.see(state(500, workers: [someone])) }
    #expect(last.masksPerSecond < 1)
}

@Test func leasesAnsweredTogetherDoNotMakeTheCurveASaw() {
    var follower = Follower()
    var last = RunSnapshot()
    // A lease of 20 masks is answered every five seconds.
    for second in 0...60 { last = follower.see(state(20 * (second / 5), workers: [someone])) }
    for point in last.throughput.dropFirst(10) { #expect(abs(point.imagesPerSecond - 400) < 1) }
}

@Test func aLongRunKeepsItsWholeCurveInBoundedSpace() {
    var follower = Follower()
    var last = RunSnapshot()
    for second in 0..<20_000 {
        last = follower.see(state(second / 100, workers: [someone]))
        #expect(last.throughput.count < RunHistory.pointsMax)
    }
    #expect(last.throughput.count >= RunHistory.pointsMax / 4)
    #expect((last.throughput.first?.time ?? 0) < 1100)
    #expect((last.throughput.last?.time ?? 0) > 1000 + 19_900)
    let steady = last.throughput.dropFirst(20).map(\.imagesPerSecond)
    #expect(steady.allSatisfy { abs($0 - 1) < 0.1 })
}

@Test func workersThatAreGoneStayVisibleAndComeBack() {
    let a = WorkerID(high: 1, low: 1)
    let b = WorkerID(high: 2, low: 2)
    var follower = Follower()
    _ = follower.see(state(7, workers: [a, b]))
    let without = follower.see(state(7, workers: [b]))
    #expect(without.workers.map(\.isConnected) == [true, false])
    #expect(without.workers.last?.lastHeard == 1000.5)
    #expect(without.workers.last?.evaluations == 7)
    let again = follower.see(state(0, workers: [a, b]))
    #expect(again.workers.map(\.isConnected) == [true, true])
}

@Test func comingAndGoingWorkersAreForgottenInTheEnd() {
    var follower = Follower()
    var last = RunSnapshot()
    for number in 0..<1000 {
        let id = WorkerID(high: UInt64(number), low: 0)
        last = follower.see(state(0, workers: [id]))
    }
    #expect(last.workers.count == 1 + RunHistory.goneMax)
    #expect(last.workers.count { $0.isConnected } == 1)
}

@Test func aStallIsASentence() {
    var follower = Follower()
    let snapshot = follower.see(state(0, idle: "no worker has connected for 5 s"))
    #expect(snapshot.stall == "No worker has connected for 5 s.")
}
