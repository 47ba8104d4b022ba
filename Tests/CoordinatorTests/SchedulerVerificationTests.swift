import Shared
import Testing

@testable import Coordinator

private func verified(_ masks: Int, share: Double = 1) -> SchedulerStage {
    var policy = SchedulingPolicy()
    policy.verifiedShare = share
    return SchedulerStage(masks: masks, policy: policy)
}

@Test func aVerifiedMaskIsRecordedWhenTwoWorkersAgree() throws {
    var stage = verified(4)
    let first = stage.join(1).grants[0]
    stage.answer(first, from: 1)
    #expect(stage.recorded.isEmpty)
    #expect(try #require(stage.scheduler.whyIdle(at: stage.time)).contains("another worker"))
    let second = stage.join(2)
    #expect(second.grants.first?.masks.first == first.masks.first)
    #expect(stage.finish(second).outcome == .complete)
    #expect(stage.recorded.count == 4)
}

@Test func aThirdWorkerDecidesADispute() throws {
    var stage = verified(1)
    stage.answer(stage.join(1).grants[0], from: 1)
    stage.answer(stage.join(2).grants[0], from: 2, wrongBy: 5)
    #expect(stage.recorded.isEmpty)
    let actions = stage.answer(stage.join(3).grants[0], from: 3)
    let right = Scheduler.Action.record(SchedulerStage.evaluation(0), by: WorkerID(high: 0, low: 1))
    #expect(actions.contains(right))
    #expect(stage.scheduler.figures.disagreements == 1)
}

@Test func aWorkerThatIsOftenWrongIsDismissedAndItsEvaluationsAreRedone() throws {
    var stage = verified(200, share: 0.1)
    var open = stage.join(1).grants + stage.join(2).grants + stage.join(3).grants
    var all: [Scheduler.Action] = []
    while !open.isEmpty {
        let lease = open.removeFirst()
        let next = stage.answer(lease, from: lease.peer, wrongBy: lease.peer == 2 ? Int64(lease.masks[0]) + 7 : 0)
        all += next
        open += next.grants
    }
    #expect(all.dismissals.contains(2))
    #expect(stage.recorded.sorted() == Array(0..<200))
    var last: [Int: Evaluation] = [:]
    for case .record(let item, _) in all { last[item.mask] = item.evaluation }
    for mask in 0..<200 { #expect(last[mask] == SchedulerStage.evaluation(mask).evaluation) }
}

@Test func theShareOfVerifiedMasksIsTheOneAskedFor() {
    let stage = verified(20_000, share: 0.25)
    let count = (0..<20_000).count { stage.scheduler.isVerified($0) }
    #expect(abs(count - 5000) < 300)
}

/// Workers of equal arithmetic must agree to the bit, others within the stated tolerance.
@Test(arguments: [
    (other: Arithmetic.lanes, error: Int64(0), agrees: true), (other: Arithmetic.lanes, error: 1, agrees: false),
    (other: "another", error: 1 << 24, agrees: true), (other: "another", error: 1 << 40, agrees: false),
])
func otherArithmeticMayDifferWithinATolerance(other: String, error: Int64, agrees: Bool) throws {
    var stage = verified(1)
    stage.answer(stage.join(1).grants[0], from: 1)
    let hello = WorkerMessage.Hello(
        worker: WorkerID(high: 0, low: 2), incarnation: 1, host: "h2", threads: 1, instructionSet: "plain",
        programVersion: "1", arithmetic: other)
    let greeted = stage.receive(.hello(hello), from: 2)
    let isTold = greeted.contains { if case .remember(let it) = $0 { it.what.contains("arithmetic") } else { false } }
    #expect(isTold == (other != Arithmetic.lanes), "the run's history says which arithmetics it had")
    let lease = try #require(stage.receive(.ready(SchedulerStage.run), from: 2).grants.first)
    let actions = stage.answer(lease, from: 2, wrongBy: error)
    #expect((stage.recorded == [0]) == agrees)
    // The first one's result is recorded, to the bit.
    let recorded = Scheduler.Action.record(SchedulerStage.evaluation(0), by: WorkerID(high: 0, low: 1))
    #expect(actions.contains(recorded) == agrees)
}
