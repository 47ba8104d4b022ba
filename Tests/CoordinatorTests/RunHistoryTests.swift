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
                evaluations: 7, silentMilliseconds: 500)
        }, figures: Scheduler.Figures(), whyIdle: idle)
}

private func history() -> RunHistory {
    var description = RunSnapshot()
    description.imagesPerMask = 100
    description.started = 1000
    return RunHistory(description)
}

@Test func ratesAndTimeLeftFollowTheMasks() {
    var history = history()
    var last = RunSnapshot()
    for second in 0...60 {
        last = history.snapshot(of: state(200 + 5 * second), phase: .running, at: 1000 + Double(second))
    }
    #expect(abs(last.masksPerSecond - 5) < 1e-9)
    #expect(abs(last.imagesPerSecond - 500) < 1e-9)
    #expect(last.secondsLeft.map { abs($0 - 100) < 1e-9 } == true)
    // What the run file had before this process counts as progress, not as throughput.
    #expect(last.evaluationsReceived == 300)
    for second in 61...75 { last = history.snapshot(of: state(500), phase: .running, at: 1000 + Double(second)) }
    #expect(last.masksPerSecond == 0)
}

@Test func leasesAnsweredTogetherDoNotMakeTheCurveASaw() {
    var history = history()
    var last = RunSnapshot()
    // A lease of 20 masks is answered every five seconds.
    for second in 0...60 {
        last = history.snapshot(of: state(20 * (second / 5)), phase: .running, at: 1000 + Double(second))
    }
    for point in last.throughput.dropFirst(5) { #expect(abs(point.imagesPerSecond - 400) < 1e-9) }
}

@Test func aLongRunKeepsItsWholeCurveInBoundedSpace() {
    var history = history()
    var last = RunSnapshot()
    for second in 0..<20_000 {
        last = history.snapshot(of: state(second / 100), phase: .running, at: 1000 + Double(second))
        #expect(last.throughput.count < RunHistory.pointsMax)
    }
    #expect(last.throughput.count >= RunHistory.pointsMax / 4)
    #expect((last.throughput.first?.time ?? 0) < 1100)
    #expect((last.throughput.last?.time ?? 0) > 1000 + 19_900)
    let mean = last.throughput.map(\.imagesPerSecond).reduce(0, +) / Double(last.throughput.count)
    #expect(abs(mean - 1) < 0.1)
}

@Test func workersThatAreGoneStayVisibleAndComeBack() {
    let a = WorkerID(high: 1, low: 1)
    let b = WorkerID(high: 2, low: 2)
    var history = history()
    _ = history.snapshot(of: state(0, workers: [a, b]), phase: .running, at: 1000)
    let without = history.snapshot(of: state(0, workers: [b]), phase: .running, at: 1010)
    #expect(without.workers.map(\.isConnected) == [true, false])
    #expect(without.workers.last?.lastHeard == 999.5)
    #expect(without.workers.last?.evaluations == 7)
    let again = history.snapshot(of: state(0, workers: [a, b]), phase: .running, at: 1011)
    #expect(again.workers.map(\.isConnected) == [true, true])
}

@Test func comingAndGoingWorkersAreForgottenInTheEnd() {
    var history = history()
    var last = RunSnapshot()
    for number in 0..<1000 {
        let id = WorkerID(high: UInt64(number), low: 0)
        last = history.snapshot(of: state(0, workers: [id]), phase: .running, at: 1000 + Double(number))
    }
    #expect(last.workers.count == 1 + RunHistory.goneMax)
    #expect(last.workers.count { $0.isConnected } == 1)
}

@Test func aStallIsASentence() {
    var history = history()
    let snapshot = history.snapshot(of: state(0, idle: "no worker has connected for 5 s"), phase: .running, at: 1005)
    #expect(snapshot.stall == "No worker has connected for 5 s.")
}

@Test func nothingIsLeftToWaitForWhileNothingProgresses() {
    var history = history()
    _ = history.snapshot(of: state(0), phase: .running, at: 1000)
    let busy = history.snapshot(of: state(10), phase: .running, at: 1001)
    #expect(busy.secondsLeft != nil)
    let idle = history.snapshot(of: state(10, idle: "no workers connected for 5 s"), phase: .running, at: 1006)
    #expect(idle.secondsLeft == nil)
}
