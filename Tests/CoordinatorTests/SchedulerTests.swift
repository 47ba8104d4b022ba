import Shared
import Testing

@testable import Coordinator

private func policy(_ change: (inout SchedulingPolicy) -> Void) -> SchedulingPolicy {
    var policy = SchedulingPolicy()
    change(&policy)
    return policy
}

@Test func everyMaskIsEvaluatedOnce() {
    var stage = SchedulerStage(masks: 1000)
    let first = stage.join(1) + stage.join(2)
    let actions = stage.finish(first)
    #expect(stage.recorded.sorted() == Array(0..<1000))
    #expect(actions.outcome == .complete)
    #expect(actions.contains(.finish(Peer(id: 1))) && actions.contains(.finish(Peer(id: 2))))
}

@Test func anAnswerIsRecordedBeforeItIsAcknowledged() throws {
    var stage = SchedulerStage(masks: 100)
    let lease = try #require(stage.join(1).grants.first)
    let actions = stage.answer(lease, from: 1)
    let acknowledged = try #require(actions.firstIndex(of: .acknowledge(Peer(id: 1), lease.id)))
    for mask in lease.masks {
        let record = Scheduler.Action.record(SchedulerStage.evaluation(mask), by: WorkerID(high: 0, low: 1))
        #expect(try #require(actions.firstIndex(of: record)) < acknowledged)
    }
}

@Test func aWorkerHoldsOneLeaseMoreThanItComputes() {
    var stage = SchedulerStage(masks: 1000)
    #expect(stage.join(1).grants.count == 2)
}

@Test func theFirstLeaseIsSmallAndLaterOnesTakeTheUsualTime() throws {
    var stage = SchedulerStage(masks: 100_000)
    var open = stage.join(1).grants
    #expect(open[0].masks.count == 4)
    for _ in 0..<20 {
        let lease = open.removeFirst()
        open += stage.answer(lease, from: 1, milliseconds: 5 * lease.masks.count).grants
    }
    #expect(try #require(open.last).masks.count == 300)
}

@Test func aLeaseIsARunOfNeighbours() {
    var stage = SchedulerStage(
        masks: 1000,
        policy: policy {
            $0.maskGroup = 8; $0.firstLeaseMasks = 20
        })
    let grants = stage.join(1).grants
    #expect(grants.map(\.masks) == [Array(0..<16), Array(16..<32)])
}

@Test(arguments: [
    (millisecondsPerMask: 20, masks: 64), (millisecondsPerMask: 120, masks: 16), (millisecondsPerMask: 170, masks: 8),
    (millisecondsPerMask: 500, masks: 4), (millisecondsPerMask: 8000, masks: 4),
    (millisecondsPerMask: 20_000, masks: 1),
])
func aLeaseIsAWholeGroupOrAWholePartOfOneUnlessThatTakesTooLong(millisecondsPerMask: Int, masks: Int) throws {
    var stage = SchedulerStage(
        masks: 10_000,
        policy: policy {
            $0.maskGroup = 16
            $0.maskSubgroup = 4
        })
    var open = stage.join(1).grants
    for _ in 0..<20 {
        let lease = open.removeFirst()
        open += stage.answer(lease, from: 1, milliseconds: millisecondsPerMask * lease.masks.count).grants
    }
    let lease = try #require(open.last)
    #expect(lease.masks.count == masks)
    #expect(lease.masks.count == 1 || lease.masks[0] % min(masks, 16) == 0)
}

@Test func aWorkerGetsTheRestOfItsGroupUntilNothingElseIsLeft() {
    var stage = SchedulerStage(
        masks: 12 * 16,
        policy: policy {
            $0.maskGroup = 16
            $0.maskSubgroup = 4
        })
    var open: [Scheduler.Granted] = []
    for worker in 1...3 { open += stage.join(worker).grants }
    var owners = [Set<Int>](repeating: [], count: 12)
    var answered = 0
    while !open.isEmpty {
        let lease = open.removeFirst()
        owners[lease.masks[0] / 16].insert(lease.peer)
        answered += lease.masks.count
        open += stage.answer(lease, from: lease.peer, milliseconds: 400 * lease.masks.count).grants
    }
    #expect(answered == 12 * 16)
    // Only at the end does an otherwise idle worker take part of another one's group.
    #expect(owners.count { $0.count > 1 } <= 3)
}

@Test func theGroupOfALostWorkerIsFreeForOthers() {
    var stage = SchedulerStage(
        masks: 40,
        policy: policy {
            $0.maskGroup = 16
            $0.maskSubgroup = 4
        })
    stage.join(1)
    let open = stage.join(2)
    #expect(open.grants.first?.masks == Array(16..<20))
    let freed = stage.perform { $0.disconnected(Peer(id: 1), at: $1) }
    stage.scheduler.checkInvariants()
    #expect(stage.scheduler.reservations.count == 1)
    #expect(freed.grants.isEmpty)
    #expect(stage.finish(open).outcome == .complete)
    #expect(stage.recorded.sorted() == Array(0..<40))
}

@Test func aWorkerThatDiesLosesNoMask() {
    var stage = SchedulerStage(masks: 50)
    stage.join(1)
    let open = stage.join(2)
    stage.wait(4000, heartbeatsFrom: [2])
    #expect(stage.scheduler.connectedCount == 1)
    #expect(stage.finish(open).outcome == .complete)
    #expect(stage.recorded.sorted() == Array(0..<50))
}

@Test func aSilentWorkerIsNoticedWithinFourSeconds() {
    var stage = SchedulerStage(masks: 50)
    stage.time = Moment(milliseconds: 1_234_500)
    stage.join(1)
    stage.wait(3000)
    #expect(stage.scheduler.connectedCount == 1)
    stage.wait(1000)
    #expect(stage.scheduler.connectedCount == 0)
    #expect(stage.scheduler.count(.pending) + stage.scheduler.count(.suspect) == 50)
}

@Test func aClosedConnectionIsNoticedAtOnce() {
    var stage = SchedulerStage(masks: 50)
    stage.join(1)
    _ = stage.perform { $0.disconnected(Peer(id: 1), at: $1) }
    #expect(stage.scheduler.count(.pending) + stage.scheduler.count(.suspect) == 50)
}

@Test func aLeasePastItsDeadlineIsGivenToAnother() {
    var stage = SchedulerStage(masks: 4, policy: policy { $0.firstDeadlineMilliseconds = 10_000 })
    let lease = stage.join(1).grants[0]
    let actions = stage.wait(11_500, heartbeatsFrom: [1], holding: [lease.id])
    #expect(actions.cancelled.contains(lease.id))
    #expect(stage.scheduler.workers[0].overdue)
    #expect(actions.grants.isEmpty)
    #expect(stage.finish(stage.join(2)).outcome == .complete)
    #expect(stage.recorded.sorted() == [0, 1, 2, 3])
}

@Test func anAnswerAfterTheDeadlineStillCounts() {
    var stage = SchedulerStage(masks: 4, policy: policy { $0.firstDeadlineMilliseconds = 10_000 })
    let lease = stage.join(1).grants[0]
    stage.wait(11_500, heartbeatsFrom: [1], holding: [lease.id])
    let others = stage.join(2).grants
    let actions = stage.answer(lease, from: 1)
    #expect(actions.outcome == .complete)
    #expect(!others.isEmpty && actions.cancelled == others.map(\.id))
    #expect(stage.recorded.count == 4)
}

@Test func anAnswerThatComesTwiceIsRecordedOnce() {
    var stage = SchedulerStage(masks: 100)
    let lease = stage.join(1).grants[0]
    stage.answer(lease, from: 1)
    let actions = stage.answer(lease, from: 1)
    #expect(stage.recorded == lease.masks)
    #expect(actions.contains(.acknowledge(Peer(id: 1), lease.id)))
    #expect(stage.scheduler.figures.duplicates == lease.masks.count)
}

@Test func aStragglersLeaseIsAlsoGivenToAnIdleWorker() throws {
    var stage = SchedulerStage(masks: 4)
    let slow = stage.join(1).grants[0]
    #expect(stage.join(2).grants.isEmpty)
    let copy = try #require(stage.wait(6000, heartbeatsFrom: [1, 2]).grants.first)
    #expect(copy.peer == 2 && copy.masks == slow.masks)
    let actions = stage.answer(copy, from: 2)
    #expect(actions.cancelled == [slow.id])
    #expect(actions.outcome == .complete)
}

@Test func aMaskThatKillsThreeWorkersIsSetAside() throws {
    var stage = SchedulerStage(
        masks: 40,
        policy: policy {
            $0.firstLeaseMasks = 8; $0.leasesPerWorker = 1
        })
    var dead = 0
    var worker = 0
    // Any worker that gets mask 13 dies.
    while stage.scheduler.ended == nil {
        worker += 1
        try #require(worker < 100)
        var open = stage.join(worker).grants
        while let lease = open.popLast() {
            if lease.masks.contains(13) {
                dead += 1
                if dead == 3 { #expect(lease.masks == [13]) }
                _ = stage.perform { $0.disconnected(Peer(id: UInt64(worker)), at: $1) }
                break
            }
            open += stage.answer(lease, from: worker).grants
        }
    }
    #expect(dead == 3)
    #expect(stage.scheduler.ended == .incomplete(setAside: 1))
    #expect(stage.recorded.sorted() == (0..<40).filter { $0 != 13 })
    #expect(stage.scheduler.setAsideMasks.map(\.mask) == [13])
    #expect(stage.scheduler.setAsideMasks[0].reason.contains("3 workers died"))
}

@Test func aWorkerThatOnlySeemedDeadTakesNoBlame() {
    var stage = SchedulerStage(masks: 4)
    for _ in 0..<5 {
        stage.join(1)
        stage.wait(5000)
        #expect(stage.scheduler.connectedCount == 0)
    }
    #expect(stage.scheduler.count(.aside) == 0)
    #expect(stage.finish(stage.join(1)).outcome == .complete)
}

@Test func aMaskThatCannotBeEvaluatedIsSetAsideWithItsReason() throws {
    var stage = SchedulerStage(masks: 2, policy: policy { $0.firstLeaseMasks = 1 })
    var open = stage.join(1).grants
    while let lease = open.popLast() {
        if lease.masks == [0] {
            let failure = WorkerMessage.LeaseFailure(
                run: SchedulerStage.run, lease: lease.id, mask: 0, reason: "not a number")
            open += stage.receive(.failed(failure), from: 1).grants
        } else {
            open += stage.answer(lease, from: 1).grants
        }
    }
    #expect(stage.scheduler.ended == .incomplete(setAside: 1))
    #expect(stage.scheduler.setAsideMasks[0].reason.contains("not a number"))
}

@Test func aLeaseLostOnItsWayIsGrantedAgain() {
    var stage = SchedulerStage(masks: 4)
    let lost = stage.join(1).grants[0]
    var again: [Scheduler.Granted] = []
    for _ in 0..<5 {
        stage.wait(1000)
        again += stage.beat([], from: 1).grants
    }
    #expect(again.first?.masks == lost.masks)
}

@Test func aLeaseThatIsNotKnownIsCancelled() {
    var stage = SchedulerStage(masks: 4)
    stage.join(1)
    let unknown = LeaseID(life: 1, number: 77)
    #expect(stage.beat([unknown], from: 1).cancelled == [unknown])
}

@Test func aStrangerIsAskedWhoItIs() {
    var stage = SchedulerStage(masks: 4)
    #expect(stage.beat([], from: 9) == [.introduce(Peer(id: 9))])
}

@Test func aWorkerKeepsItsLeasesOverAReconnect() {
    var stage = SchedulerStage(masks: 100)
    let open = stage.join(1).grants
    #expect(stage.join(1, from: 51).grants.isEmpty)
    #expect(stage.scheduler.count(.leased) == open.flatMap(\.masks).count)
    stage.answer(open[0], from: 51)
    #expect(stage.recorded == open[0].masks)
    #expect(stage.beat([], from: 1) == [.introduce(Peer(id: 1))])
}

@Test func aRestartedWorkerLosesItsLeases() {
    var stage = SchedulerStage(masks: 100)
    let old = stage.join(1).grants
    let new = stage.join(1, from: 51, incarnation: 2).grants
    #expect(!new.isEmpty && old.allSatisfy { stage.scheduler.leases[$0.id.number] == nil })
    #expect(stage.greet(1, from: 52, incarnation: 1).dismissals == [52])
}

@Test func answersOfAnEarlierLifeCount() {
    var stage = SchedulerStage(masks: 4, life: 2)
    stage.greet(1)
    let lease = Scheduler.Granted(peer: 1, id: LeaseID(life: 1, number: 3), masks: [1, 2])
    stage.leases[lease.id] = (WorkerID(high: 0, low: 1), MaskRuns(0..<4))
    let actions = stage.answer(lease, from: 1)
    #expect(stage.recorded == [1, 2])
    #expect(actions.contains(.acknowledge(Peer(id: 1), lease.id)))
}

@Test func evaluationsOfTheRunFileAreNotGrantedAgain() {
    var stage = SchedulerStage(masks: 10)
    for mask in 0..<9 { stage.scheduler.restore(mask: mask, by: nil) }
    let open = stage.join(1)
    #expect(open.grants.map(\.masks) == [[9]])
    #expect(stage.finish(open).outcome == .complete)
}

@Test func nonsenseGetsAWorkerDismissed() {
    var stage = SchedulerStage(masks: 100)
    stage.join(1)
    var actions: [Scheduler.Action] = []
    for _ in 0..<3 {
        actions += stage.receive(
            .answer(
                .init(
                    run: SchedulerStage.run, lease: LeaseID(life: 1, number: 1), computeMicroseconds: 1,
                    evaluations: [SchedulerStage.evaluation(100)])), from: 1)
    }
    #expect(actions.dismissals == [1])
    #expect(stage.recorded.isEmpty)
    #expect(stage.scheduler.count(.pending) == 100)
    #expect(stage.greet(1, from: 2).dismissals == [2])
}

@Test func aFloodGetsAWorkerDismissed() {
    var stage = SchedulerStage(masks: 100, policy: policy { $0.limits.messagesPerSecondMax = 50 })
    stage.join(1)
    var actions: [Scheduler.Action] = []
    for _ in 0..<60 { actions += stage.beat([], from: 1) }
    #expect(actions.dismissals == [1])
}

@Test func bytesThatDoNotExistAreNotSent() {
    var stage = SchedulerStage(masks: 4)
    stage.greet(1)
    let digest = stage.scheduler.work.network.digest
    let right = WorkerMessage.BlobRange(digest: digest, offset: 900, length: 100)
    #expect(stage.receive(.want(right), from: 1) == [.sendChunk(Peer(id: 1), right)])
    let wrong = WorkerMessage.BlobRange(digest: digest, offset: 901, length: 100)
    #expect(!stage.receive(.want(wrong), from: 1).contains(.sendChunk(Peer(id: 1), wrong)))
}

@Test func anotherVersionIsRefusedInPlainWords() throws {
    var stage = SchedulerStage(masks: 4)
    let actions = stage.perform { $0.receivedUnreadable(.otherVersion(7), from: Peer(id: 3), at: $1) }
    #expect(actions.dismissals == [3])
    guard case .dismiss(_, let reason) = actions[0] else { return }
    #expect(reason.contains("wire version 7"))
}

@Test func aFailureOfAMaskThatDoesNotExistIsMisbehaviour() throws {
    var stage = SchedulerStage(masks: 4)
    let lease = try #require(stage.join(1).grants.first)
    let failure = WorkerMessage.LeaseFailure(run: SchedulerStage.run, lease: lease.id, mask: 1 << 20, reason: "none")
    let actions = stage.receive(.failed(failure), from: 1)
    #expect(
        actions.contains(
            .remember(
                .init(
                    worker: WorkerID(high: 0, low: 1),
                    what: "misbehaved: it failed with a mask that it was not given"))))
}

@Test func aWorkerThatLeavesGivesBackWhatItHasNotBegun() {
    var stage = SchedulerStage(masks: 100)
    let open = stage.join(1).grants
    stage.receive(.goodbye(keeping: [open[0].id]), from: 1)
    #expect(stage.scheduler.count(.leased) == open[0].masks.count)
    #expect(stage.answer(open[0], from: 1).grants.isEmpty)
    stage.receive(.goodbye(keeping: []), from: 1)
    #expect(stage.scheduler.connectedCount == 0)
    #expect(stage.scheduler.troubles.isEmpty)
}

@Test func whatHappensToLeasesAndWorkersIsRemembered() throws {
    var stage = SchedulerStage(masks: 4)
    let lease = try #require(stage.join(1).grants.first)
    let silence = stage.wait(5000)
    #expect(silence.contains(.release(lease.id, reason: "it was silent for 4000 ms")))
    let worker = WorkerID(high: 0, low: 1)
    let gone = Scheduler.Occurrence(worker: worker, what: "is gone: it was silent for 4000 ms")
    #expect(silence.contains(.remember(gone)))
    let back = stage.greet(1, from: 3)
    stage.receive(.ready(SchedulerStage.run), from: 3)
    #expect(back.contains(.remember(.init(worker: worker, what: "joined"))))
    let late = stage.answer(lease, from: 3)
    let entries = late.compactMap { action -> Scheduler.Occurrence? in
        if case .remember(let occurrence) = action { return occurrence }
        return nil
    }
    #expect(entries.first?.lease == lease.id && entries.first?.masks == MaskRuns(lease.masks))
}

@Test func theStatusSaysWhyNothingProgresses() throws {
    var stage = SchedulerStage(masks: 4)
    stage.wait(7000)
    #expect(try #require(stage.scheduler.whyIdle(at: stage.time)).contains("no worker has connected for 7 s"))
    stage.greet(1)
    #expect(try #require(stage.scheduler.whyIdle(at: stage.time)).contains("the only worker is fetching"))
    stage.receive(.ready(SchedulerStage.run), from: 1)
    #expect(stage.scheduler.whyIdle(at: stage.time) == nil)
    stage.wait(9000)
    #expect(try #require(stage.scheduler.whyIdle(at: stage.time)).contains("no workers connected for"))
}

@Test func aWorkerThatMissedItsDeadlineButCouldStopIsTrustedAgain() {
    var stage = SchedulerStage(masks: 4, policy: policy { $0.firstDeadlineMilliseconds = 10_000 })
    let late = stage.join(1).grants[0]
    stage.wait(11_500, heartbeatsFrom: [1], holding: [late.id])
    // It still names the lease, so its threads are not free.
    #expect(stage.beat([late.id], from: 1).grants.isEmpty)
    #expect(stage.beat([], from: 1).grants.flatMap(\.masks).contains(0))
}

@Test func aMillionMasksAndTwoThousandWorkersAreScheduled() {
    // Without the invariants, which look at every mask after every event.
    var policy = SchedulingPolicy()
    policy.masksPerLeaseMax = 64
    let welcome = SchedulerStage.welcome(masks: 1_000_000)
    var scheduler = Scheduler(welcome: welcome, policy: policy, at: Moment(milliseconds: 0))
    var recorded = 0
    var open = Queue<Scheduler.Granted>()
    func take(_ actions: [Scheduler.Action]) {
        for action in actions { if case .record = action { recorded += 1 } }
        for grant in actions.grants { open.append(grant) }
    }
    let origin = Origin(key: nil, address: "host")
    for worker in 1...2000 {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: UInt64(worker)), incarnation: 1, host: "", threads: 1,
            instructionSet: "", programVersion: "")
        let peer = Peer(id: UInt64(worker))
        take(
            scheduler.received(
                .hello(hello), from: peer, of: origin, at: Moment(milliseconds: 1), granted: { _ in nil }))
        take(
            scheduler.received(
                .ready(SchedulerStage.run), from: peer, of: origin, at: Moment(milliseconds: 1), granted: { _ in nil }))
    }
    while let lease = open.popFirst() {
        let losses = WorkerMessage.Answer(
            run: SchedulerStage.run, lease: lease.id, computeMicroseconds: 64_000,
            evaluations: lease.masks.map { SchedulerStage.evaluation($0) })
        let peer = Peer(id: UInt64(lease.peer))
        take(
            scheduler.received(
                .answer(losses), from: peer, of: origin, at: Moment(milliseconds: 2), granted: { _ in nil }))
    }
    #expect(recorded == 1_000_000)
    #expect(scheduler.ended == .complete)
    scheduler.checkInvariants()
}
