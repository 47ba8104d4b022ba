import Shared
import Testing

@testable import Coordinator

private func stage(masks: Int, _ change: (inout SchedulingPolicy) -> Void = { _ in }) -> SchedulerStage {
    var policy = SchedulingPolicy()
    change(&policy)
    return SchedulerStage(masks: masks, policy: policy)
}

/// Peers of one host.
private let oneHost = Origin(key: nil, address: "one host")
private let own = Origin(key: "own", address: "127.0.0.1", isOwn: true)

/// Answers everything until nothing is granted; the liars agree on the same wrong losses.
private func finish(
    _ stage: inout SchedulerStage, _ actions: [Scheduler.Action], liars: Set<Int>
) -> [Scheduler.Action] {
    var open = actions.grants
    var all = actions
    while !open.isEmpty {
        let lease = open.removeFirst()
        let next = stage.answer(lease, from: lease.peer, wrongBy: liars.contains(lease.peer) ? 7 : 0)
        all += next
        open += next.grants
    }
    return all
}

/// The evaluations that are in the run file in the end.
private func recorded(_ actions: [Scheduler.Action]) -> [Int: Evaluation] {
    var result: [Int: Evaluation] = [:]
    for action in actions {
        if case .record(let item, _) = action { result[item.mask] = item.evaluation }
        if case .retract(let masks) = action { for mask in masks { result[mask] = nil } }
    }
    return result
}

private func expectTruth(_ actions: [Scheduler.Action], masks: Int) {
    let found = recorded(actions)
    #expect(found.count == masks)
    for (mask, evaluation) in found { #expect(evaluation == SchedulerStage.evaluation(mask).evaluation) }
}

// MARK: - Lies

@Test func tenNamesOfOnePeerConvictNobodyAndKeepNoLie() {
    var stage = stage(masks: 120) {
        $0.verifiedShare = 1; $0.verificationWaits = true
    }
    var actions: [Scheduler.Action] = []
    for liar in 10..<20 {
        stage.origins[liar] = oneHost
        actions += stage.join(liar)
    }
    for honest in 1...2 { actions += stage.join(honest) }
    let all = finish(&stage, actions, liars: Set(10..<20))
    #expect(!all.dismissals.contains { $0 < 10 })
    #expect(!all.dismissals.isEmpty)
    expectTruth(all, masks: 120)
}

@Test func aKeyIsOneWitnessWhereverItIsUsed() {
    var stage = stage(masks: 60) {
        $0.verifiedShare = 1; $0.verificationWaits = true
    }
    var actions: [Scheduler.Action] = []
    for liar in 10..<14 {
        stage.origins[liar] = Origin(key: "stolen", address: "10.0.0.\(liar)")
        actions += stage.join(liar)
    }
    for honest in 1...2 {
        stage.origins[honest] = Origin(key: "key \(honest)", address: "10.0.1.1")
        actions += stage.join(honest)
    }
    let all = finish(&stage, actions, liars: Set(10..<14))
    #expect(!all.dismissals.contains { $0 < 10 })
    expectTruth(all, masks: 60)
}

@Test func theCoordinatorsOwnWorkerDecides() {
    var stage = stage(masks: 40) {
        $0.verifiedShare = 1; $0.verificationWaits = true; $0.ownWorkersOnlyJudge = true
    }
    // Alone, it would have had to be believed.
    let open = stage.join(1)
    var all = finish(&stage, open, liars: [1])
    #expect(stage.recorded.isEmpty)
    #expect(stage.scheduler.wantsReferee)
    stage.origins[9] = own
    let referee = stage.join(9)
    #expect(!stage.scheduler.wantsReferee)
    all += open + finish(&stage, referee, liars: [1])
    #expect(all.dismissals.contains(1))
    all += finish(&stage, stage.join(2), liars: [])
    #expect(!all.grants.contains { $0.peer == 9 && $0.masks.isEmpty })
    expectTruth(all, masks: 40)
}

@Test func aRefereeEvaluatesOnlyWhatOthersDid() {
    var stage = stage(masks: 40) {
        $0.verifiedShare = 0.1; $0.ownWorkersOnlyJudge = true
    }
    stage.origins[9] = own
    #expect(stage.join(9).grants.isEmpty)
    let all = finish(&stage, stage.join(1), liars: [])
    let judged = Set(all.grants.filter { $0.peer == 9 }.flatMap(\.masks))
    #expect(judged == Set((0..<40).filter { stage.scheduler.isVerified($0) }))
    #expect(all.outcome == .complete)
}

@Test func aWorkerIsTriedWithAMaskWhoseEvaluationIsKnown() throws {
    // So small a share verifies none of these masks by chance.
    var stage = stage(masks: 400) {
        $0.verifiedShare = 1e-9; $0.leasesPerTrial = 4
    }
    stage.origins[1] = own
    let known = stage.join(1).grants[0]
    var all = stage.answer(known, from: 1)
    let first = stage.join(2)
    #expect(first.grants[0].masks.contains { known.masks.contains($0) }, "the first lease tries it")
    all += first + finish(&stage, first, liars: [2])
    #expect(all.dismissals.contains(2))
    all += finish(&stage, stage.join(3), liars: [])
    all += finish(&stage, stage.beat([], from: 1), liars: [])
    let found = recorded(all)
    for (mask, evaluation) in found { #expect(evaluation == SchedulerStage.evaluation(mask).evaluation) }
}

@Test func aHonestWorkerPassesItsTrials() {
    var stage = stage(masks: 400) {
        $0.verifiedShare = 0.05; $0.leasesPerTrial = 2
    }
    let actions = stage.join(1) + stage.join(2)
    let all = finish(&stage, actions, liars: [])
    #expect(all.dismissals.isEmpty)
    #expect(all.outcome == .complete)
    expectTruth(all, masks: 400)
}

@Test func aHostThatContradictsItselfIsTold() {
    var stage = stage(masks: 400) {
        $0.verifiedShare = 1e-9; $0.leasesPerTrial = 1
    }
    stage.origins[1] = own
    var open = stage.join(1).grants
    var answers = 0
    var all: [Scheduler.Action] = []
    while !open.isEmpty, stage.scheduler.figures.contradictions == 0 {
        let lease = open.removeFirst()
        answers += 1
        // Its memory has changed.
        let next = stage.answer(lease, from: 1, wrongBy: answers > 3 ? 1 : 0)
        all += next
        open += next.grants
    }
    #expect(stage.scheduler.figures.contradictions == 1)
    #expect(all.dismissals.isEmpty, "there is no other to trust")
}

@Test func aRunThatDoesNotWaitEndsWithTheOnlyOpinionThereIs() {
    var stage = stage(masks: 30) { $0.verifiedShare = 1 }
    _ = finish(&stage, stage.join(1), liars: [])
    #expect(stage.recorded.isEmpty)
    #expect(stage.wait(6000, heartbeatsFrom: [1]).outcome == .complete)
    #expect(stage.recorded.sorted() == Array(0..<30))
}

@Test func aRunThatWaitsForOpinionsSaysSo() throws {
    var stage = stage(masks: 30) {
        $0.verifiedShare = 1; $0.verificationWaits = true
    }
    stage.origins = [1: oneHost, 2: oneHost]
    let actions = stage.join(1) + stage.join(2)
    _ = finish(&stage, actions, liars: [])
    #expect(stage.wait(60_000, heartbeatsFrom: [1, 2]).outcome == nil)
    #expect(try #require(stage.scheduler.whyIdle(at: stage.time)).contains("another host or with another key"))
    #expect(finish(&stage, stage.join(3), liars: []).outcome == .complete)
}

@Test func whatTwoHostsDisputeIsLeftOutWhereNobodyCanDecide() {
    var stage = stage(masks: 4) { $0.verifiedShare = 1 }
    let actions = stage.join(1) + stage.join(2)
    _ = finish(&stage, actions, liars: [2])
    #expect(stage.recorded.isEmpty)
    #expect(stage.scheduler.wantsReferee)
    #expect(stage.wait(70_000, heartbeatsFrom: [1, 2]).outcome == .incomplete(setAside: 4))
}

@Test func aHostWithConvictedWorkersIsRefused() {
    var stage = stage(masks: 2000) {
        $0.verifiedShare = 1; $0.verificationWaits = true
    }
    var open = stage.join(1).grants + stage.join(2).grants
    var name = 10
    while stage.scheduler.places.allSatisfy({ $0.convictions < 3 }), name < 60 {
        name += 1
        stage.origins[name] = oneHost
        open += stage.join(name).grants
        for _ in 0..<40 where !open.isEmpty {
            let lease = open.removeFirst()
            let wrong: Int64 = lease.peer >= 10 ? 7 : 0
            let milliseconds = 1000 * lease.masks.count
            open += stage.answer(lease, from: lease.peer, wrongBy: wrong, milliseconds: milliseconds).grants
        }
    }
    stage.origins[99] = oneHost
    #expect(stage.greet(99).dismissals == [99])
}

// MARK: - Answers without a lease

@Test func nobodyAnswersALeaseThatItWasNotGiven() {
    var stage = SchedulerStage(masks: 40, life: 3)
    stage.greet(1)
    stage.leases[LeaseID(life: 1, number: 2)] = (WorkerID(high: 0, low: 8), MaskRuns(0..<10))
    stage.leases[LeaseID(life: 2, number: 2)] = (WorkerID(high: 0, low: 1), MaskRuns(0..<10))
    func answer(_ life: UInt32, _ masks: [Int]) -> [Scheduler.Action] {
        let lease = Scheduler.Granted(peer: 1, id: LeaseID(life: life, number: 2), masks: masks)
        return stage.answer(lease, from: 1)
    }
    for (life, masks) in [(1, [3]), (2, [10]), (7, Array(0..<40))] as [(UInt32, [Int])] {
        let actions = answer(life, masks)
        #expect(stage.recorded.isEmpty)
        // An honest worker of a run whose file was restored forgets it.
        #expect(actions.contains(.acknowledge(Peer(id: 1), LeaseID(life: life, number: 2))))
    }
    #expect(stage.scheduler.figures.unasked == 3)
    _ = answer(2, [3, 4])
    #expect(stage.recorded == [3, 4])
}

@Test func aClosedLeaseOfThisLifeIsStillItsWorkersAlone() {
    var stage = stage(masks: 40)
    let lease = stage.join(1).grants[0]
    _ = stage.perform { $0.disconnected(Peer(id: 1), at: $1) }
    stage.greet(2)
    stage.answer(lease, from: 2)
    #expect(stage.recorded.isEmpty)
    stage.greet(1)
    stage.answer(lease, from: 1)
    #expect(stage.recorded == lease.masks)
}

// MARK: - Hosts that die, hang or say nothing

@Test func aHostThatDiesOfEverythingSetsNoHealthyMaskAside() {
    var stage = stage(masks: 300)
    var open = stage.join(1)
    var process: UInt64 = 0
    for _ in 0..<60 where stage.scheduler.ended == nil {
        process += 1
        stage.join(2, from: 2, incarnation: process)
        stage.wait(500, heartbeatsFrom: [1, 2])
        _ = stage.perform { $0.disconnected(Peer(id: 2), at: $1) }
        var next: [Scheduler.Action] = []
        for lease in open.grants { next += stage.answer(lease, from: 1, milliseconds: 700) }
        open = next
    }
    while stage.scheduler.ended == nil, stage.time.milliseconds < 300_000 {
        var next: [Scheduler.Action] = []
        for lease in open.grants { next += stage.answer(lease, from: 1, milliseconds: 700) }
        open = next + stage.wait(200, heartbeatsFrom: [1])
    }
    #expect(stage.scheduler.ended == .complete)
    #expect(stage.scheduler.count(.aside) == 0)
}

@Test func aHostThatSaysThatNothingCanBeEvaluatedSetsNoMaskAside() {
    var stage = stage(masks: 60)
    var open = stage.join(1).grants + stage.join(2).grants
    while !open.isEmpty {
        let lease = open.removeFirst()
        guard lease.peer == 2 else {
            open += stage.answer(lease, from: 1).grants
            continue
        }
        for mask in lease.masks {
            let failure = WorkerMessage.LeaseFailure(
                run: SchedulerStage.run, lease: lease.id, mask: mask, reason: "no")
            open += stage.receive(.failed(failure), from: 2).grants
        }
    }
    #expect(stage.scheduler.ended == .complete)
}

@Test func aHostThatKeepsDyingWaitsLongerEachTime() {
    var stage = stage(masks: 1000)
    stage.join(1)
    var granted: [Bool] = []
    var rests: [Int64] = []
    for process in 1...6 as ClosedRange<UInt64> {
        granted.append(!stage.join(2, incarnation: process).grants.isEmpty)
        let since = stage.time
        while stage.scheduler.workers[1].leases.isEmpty, stage.time - since < 40_000 {
            stage.wait(100, heartbeatsFrom: [1, 2])
        }
        rests.append(stage.time - since)
        _ = stage.perform { $0.disconnected(Peer(id: 2), at: $1) }
    }
    #expect(granted.prefix(2) == [true, true])
    #expect(rests == rests.sorted() && rests[5] >= 8000)
}

@Test func hungWorkersKeepNobodyWaiting() {
    var stage = stage(masks: 200) { $0.leasesPerWorker = 2 }
    for hung in 2...6 { stage.join(hung) }
    var open = stage.join(1).grants
    while stage.scheduler.ended == nil, stage.time.milliseconds < 20_000 {
        var next: [Scheduler.Granted] = []
        for lease in open { next += stage.answer(lease, from: 1).grants }
        open = next + stage.wait(100, heartbeatsFrom: Array(1...6)).grants.filter { $0.peer == 1 }
    }
    #expect(stage.scheduler.ended == .complete)
    #expect(stage.time.milliseconds < 10_000)
}

@Test func aLateCopyIsCopiedAgain() {
    var stage = stage(masks: 8) { $0.firstLeaseMasks = 8 }
    // Two that worked once, and then hang with the same masks.
    let first = stage.join(1).grants[0]
    stage.join(2)
    let copy = stage.wait(5000, heartbeatsFrom: [1, 2]).grants
    #expect(copy.map(\.masks) == [first.masks])
    stage.scheduler.workers[0].evaluations = 1
    let joined = stage.join(3)
    let taken = (joined + stage.wait(8000, heartbeatsFrom: [1, 2, 3])).grants
    #expect(taken.isEmpty, "who has not shown that it works takes nothing from others")
    stage.scheduler.workers[2].evaluations = 1
    #expect(stage.wait(2000, heartbeatsFrom: [1, 2, 3]).grants.map(\.masks) == [first.masks])
    #expect(stage.answer(first, from: 1).outcome == .complete, "the answer of the first counts all the same")
}

@Test func answersWithoutAnEvaluationCostTheirSender() {
    var stage = stage(masks: 1000)
    stage.join(1)
    var open = stage.join(2).grants
    var answers = 0
    for _ in 0..<100 {
        for lease in open {
            answers += 1
            let empty = WorkerMessage.Answer(
                run: SchedulerStage.run, lease: lease.id, computeMicroseconds: 1, evaluations: [])
            open += stage.receive(.answer(empty), from: 2).grants
            open.removeFirst()
        }
        open += stage.wait(100, heartbeatsFrom: [1, 2]).grants.filter { $0.peer == 2 }
    }
    #expect(answers < 20)
    #expect(stage.scheduler.figures.dismissals == 0)
}

// MARK: - Load

@Test func aHeartbeatOlderThanAGrantProvesNothing() {
    var stage = stage(masks: 4)
    let lease = stage.join(1).grants[0]
    let before = LeaseID(life: 1, number: 0)
    for _ in 0..<8 {
        stage.wait(1000)
        #expect(stage.receive(.heartbeat([], seen: before), from: 1).grants.isEmpty)
    }
    #expect(stage.scheduler.leases[lease.id.number] != nil)
    #expect(stage.beat([], from: 1).grants.map(\.masks) == [lease.masks])
}

@Test func silenceIsNotTheWorkersWhileMessagesWait() {
    var stage = stage(masks: 50)
    stage.join(1)
    for _ in 0..<6 {
        stage.time = stage.time + 1000
        _ = stage.perform { $0.timePassed(at: $1, isBehind: true) }
    }
    #expect(stage.scheduler.connectedCount == 1)
    stage.time = stage.time + 1000
    _ = stage.perform { $0.timePassed(at: $1) }
    #expect(stage.scheduler.connectedCount == 0)
}

@Test func oneConnectionSpeaksForOneWorker() {
    var stage = stage(masks: 50)
    stage.join(1)
    #expect(stage.greet(2, from: 1).dismissals == [1])
}

@Test func namesThatComeAndGoUseUpNothing() {
    var stage = stage(masks: 50) { $0.limits.identitiesMax = 20 }
    let open = stage.join(1)
    for name in 2..<200 {
        stage.origins[name] = oneHost
        stage.join(name)
        _ = stage.perform { $0.disconnected(Peer(id: UInt64(name)), at: $1) }
    }
    #expect(stage.scheduler.workers.count <= 20)
    #expect(stage.join(500).dismissals.isEmpty)
    #expect(stage.finish(open).outcome == nil || stage.scheduler.ended == .complete)
}
