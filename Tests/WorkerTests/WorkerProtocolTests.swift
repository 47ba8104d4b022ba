import Shared
import Testing

@testable import Worker

/// A worker's protocol and a clock; the invariants are checked after every event.
private struct Stage {
    static let run = RunID(high: 1, low: 2)
    static let network = blob(1, bytes: 1000)
    static let images = blob(2, bytes: 10)

    var worker: WorkerProtocol
    var time = Moment(milliseconds: 0)

    init(partBytes: Int = 100) {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: 1), incarnation: 1, host: "h", threads: 1, instructionSet: "plain",
            programVersion: "1")
        worker = WorkerProtocol(hello: hello, graceMilliseconds: 5000, partBytes: partBytes, at: time)
    }

    static func blob(_ seed: UInt8, bytes: UInt64) -> CoordinatorMessage.Blob {
        CoordinatorMessage.Blob(digest: Digest(sha256Of: [seed]), size: bytes)
    }

    static func welcome(run: RunID = run, life: UInt32 = 1) -> CoordinatorMessage.Welcome {
        let work = MaskWork(
            settings: EvaluationSettings(split: .test, images: 10, batchNorm: .frozen), network: network,
            images: images, filters: 4, masks: 100, ensemble: [], sample: network.digest)
        return CoordinatorMessage.Welcome(run: run, life: life, work: .masks(work))
    }

    static func lease(_ number: UInt32, life: UInt32 = 1) -> CoordinatorMessage.Lease {
        CoordinatorMessage.Lease(
            run: run, lease: LeaseID(life: life, number: number), job: .masks(MaskRuns([Int(number)])))
    }

    mutating func perform(
        _ event: (inout WorkerProtocol, Moment) -> [WorkerProtocol.Action]
    ) -> [WorkerProtocol.Action] {
        let actions = event(&worker, time)
        worker.checkInvariants()
        return actions
    }

    @discardableResult
    mutating func receive(_ message: CoordinatorMessage) -> [WorkerProtocol.Action] {
        perform { $0.received(message, at: $1) }
    }

    /// Lets time pass, with or without the coordinator's heartbeats.
    @discardableResult
    mutating func wait(_ milliseconds: Int64, life: UInt32? = nil) -> [WorkerProtocol.Action] {
        var all: [WorkerProtocol.Action] = []
        let end = time + milliseconds
        while time < end {
            time = time + 50
            if let life, time.milliseconds % 500 == 0 { all += receive(.heartbeat(life: life, lease: 0)) }
            if worker.nextDeadline <= time { all += perform { $0.timePassed(at: $1) } }
        }
        return all
    }

    /// Goes all the way until leases are welcome.
    mutating func becomeReady() {
        _ = perform { $0.timePassed(at: $1) }
        receive(.welcome(Self.welcome()))
        _ = perform { $0.blobLocated(Self.network.digest, bytes: 1000, isWhole: true, at: $1) }
        _ = perform { $0.blobLocated(Self.images.digest, bytes: 10, isWhole: true, at: $1) }
        _ = perform { $0.prepared(Self.run, at: $1) }
    }

    mutating func compute(_ lease: CoordinatorMessage.Lease) -> [WorkerProtocol.Action] {
        let evaluations = lease.job.masks.map {
            MaskEvaluation(mask: $0, evaluation: Evaluation(lossSum: 1, correct: 1, images: 10))
        }
        return perform { $0.computed(lease.lease, evaluations: evaluations, microseconds: 10, at: $1) }
    }
}

extension [WorkerProtocol.Action] {
    fileprivate var sent: [WorkerMessage] {
        compactMap {
            guard case .send(let message) = $0 else { return nil }
            return message
        }
    }

    fileprivate var wanted: [UInt64] {
        sent.compactMap {
            guard case .want(let range) = $0 else { return nil }
            return range.offset
        }
    }

    fileprivate var losses: [LeaseID] {
        sent.compactMap {
            guard case .answer(let answer) = $0 else { return nil }
            return answer.lease
        }
    }
}

@Test func aWorkerTriesForEverWithLongerAndLongerPauses() {
    var stage = Stage()
    _ = stage.perform { $0.timePassed(at: $1) }
    var connects: [Int64] = []
    for _ in 0..<12_000 {
        if stage.wait(50).contains(.connect) { connects.append(stage.time.milliseconds) }
    }
    let pauses = zip(connects, connects.dropFirst()).map { $1 - $0 - WorkerProtocol.greetingMilliseconds }
    #expect(pauses.count > 10)
    #expect(pauses[0] >= 750 && pauses[0] <= 2600)
    #expect(pauses.allSatisfy { $0 <= 40_100 })
    #expect(pauses.suffix(5).allSatisfy { $0 >= 23_900 })
}

@Test func aBlobIsFetchedInOrderedPartsSeveralAtATime() {
    var stage = Stage()
    _ = stage.perform { $0.timePassed(at: $1) }
    #expect(stage.receive(.welcome(Stage.welcome())).contains(.locate(Stage.network)))
    let first = stage.perform { $0.blobLocated(Stage.network.digest, bytes: 250, isWhole: false, at: $1) }
    #expect(first.wanted == [250, 350, 450, 550])
    func chunk(_ offset: UInt64, _ count: Int = 100) -> CoordinatorMessage.Chunk {
        CoordinatorMessage.Chunk(
            digest: Stage.network.digest, offset: offset, bytes: [UInt8](repeating: 1, count: count))
    }
    // The second arrives before the first, and once more; nothing is stored with a hole or twice.
    #expect(stage.receive(.chunk(chunk(350))).isEmpty)
    let both = stage.receive(.chunk(chunk(250)))
    #expect(both.prefix(2) == [.store(chunk(250)), .store(chunk(350))])
    #expect(both.wanted == [650, 750])
    #expect(stage.receive(.chunk(chunk(350))).isEmpty)
    #expect(stage.wait(6000, life: 1).wanted.contains(450))
    for offset: UInt64 in [450, 550, 650, 750, 850] { stage.receive(.chunk(chunk(offset))) }
    #expect(stage.receive(.chunk(chunk(950, 50))).contains(.check(Stage.network)))
}

@Test func aBlobThatIsNotWhatItsDigestSaysIsFetchedAgain() {
    var stage = Stage(partBytes: 1000)
    _ = stage.perform { $0.timePassed(at: $1) }
    stage.receive(.welcome(Stage.welcome()))
    _ = stage.perform { $0.blobLocated(Stage.network.digest, bytes: 0, isWhole: false, at: $1) }
    let bytes = [UInt8](repeating: 1, count: 1000)
    var last: [WorkerProtocol.Action] = []
    for _ in 0..<3 {
        stage.receive(.chunk(.init(digest: Stage.network.digest, offset: 0, bytes: bytes)))
        last = stage.perform { $0.blobChecked(Stage.network.digest, isRight: false, at: $1) }
    }
    guard case .failed = stage.worker.ended else {
        Issue.record("it goes on: \(last)")
        return
    }
}

@Test func leasesAreComputedOneAfterTheOther() {
    var stage = Stage()
    stage.becomeReady()
    #expect(stage.receive(.lease(Stage.lease(1))) == [.compute(Stage.lease(1))])
    #expect(stage.receive(.lease(Stage.lease(2))).isEmpty)
    #expect(stage.receive(.lease(Stage.lease(2))).isEmpty)
    let actions = stage.compute(Stage.lease(1))
    #expect(actions.losses == [LeaseID(life: 1, number: 1)])
    #expect(actions.last == .compute(Stage.lease(2)))
}

@Test func anAnswerIsKeptUntilItIsAcknowledged() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    _ = stage.compute(Stage.lease(1))
    let id = LeaseID(life: 1, number: 1)
    #expect(stage.wait(6000, life: 1).losses == [id])
    stage.receive(.acknowledged(id))
    #expect(stage.wait(6000, life: 1).losses.isEmpty)
}

@Test func anAcknowledgementIsForOneAnswerOnly() {
    var stage = Stage()
    stage.becomeReady()
    for number in 1...2 as ClosedRange<UInt32> { stage.receive(.lease(Stage.lease(number))) }
    for number in 1...2 as ClosedRange<UInt32> { _ = stage.compute(Stage.lease(number)) }
    stage.receive(.acknowledged(LeaseID(life: 1, number: 1)))
    #expect(stage.wait(6000, life: 1).losses == [LeaseID(life: 1, number: 2)])
}

@Test func aLeaseOfAnotherLifeOrRunIsNotComputed() {
    var stage = Stage()
    stage.becomeReady()
    #expect(stage.receive(.lease(Stage.lease(1, life: 2))).isEmpty)
    var other = Stage.lease(1)
    other.run = RunID(high: 9, low: 9)
    #expect(stage.receive(.lease(other)).isEmpty)
    #expect(stage.receive(.lease(Stage.lease(1))) == [.compute(Stage.lease(1))])
}

@Test func aSilentCoordinatorIsLeftWhileComputingGoesOn() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    #expect(stage.wait(4000).contains(.disconnect))
    // Nobody is there to hear it, so it is kept.
    #expect(stage.compute(Stage.lease(1)).sent.isEmpty)
    #expect(stage.wait(3000).contains(.connect))
    let actions = stage.receive(.welcome(Stage.welcome(life: 2)))
    #expect(actions.losses == [LeaseID(life: 1, number: 1)])
    #expect(actions.sent.contains(.ready(Stage.run)))
}

@Test func aRestartedCoordinatorIsGreetedAndOldLeasesThatWaitAreDropped() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    stage.receive(.lease(Stage.lease(2)))
    #expect(stage.receive(.heartbeat(life: 2, lease: 0)).sent == [.hello(stage.worker.hello)])
    stage.receive(.welcome(Stage.welcome(life: 2)))
    #expect(stage.worker.held == [LeaseID(life: 1, number: 1)])
    #expect(stage.worker.computing == [Stage.lease(1)])
}

@Test func anotherRunBeginsAnew() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    let actions = stage.receive(.welcome(Stage.welcome(run: RunID(high: 9, low: 9))))
    #expect(actions == [.abandon(LeaseID(life: 1, number: 1)), .locate(Stage.network)])
}

@Test func aCancelledLeaseMakesRoomForTheNextOnceItStopped() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    stage.receive(.lease(Stage.lease(2)))
    let id = LeaseID(life: 1, number: 1)
    #expect(stage.receive(.cancel(id)) == [.abandon(id)])
    #expect(stage.worker.held.first == id)
    #expect(stage.perform { $0.abandoned(id, at: $1) } == [.compute(Stage.lease(2))])
}

@Test func aWorkerAskedToStopFinishesWhatItComputesAndGivesBackTheRest() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    stage.receive(.lease(Stage.lease(2)))
    let id = LeaseID(life: 1, number: 1)
    #expect(stage.perform { $0.stopRequested(at: $1) } == [.send(.goodbye(keeping: [id]))])
    #expect(stage.receive(.lease(Stage.lease(3))).sent == [.goodbye(keeping: [id])])
    #expect(stage.compute(Stage.lease(1)).losses == [id])
    #expect(stage.receive(.acknowledged(id)) == [.send(.goodbye(keeping: [])), .stop(.left)])
}

@Test func aWorkerAskedToStopDoesNotWaitForEver() {
    var stage = Stage()
    stage.becomeReady()
    stage.receive(.lease(Stage.lease(1)))
    _ = stage.perform { $0.stopRequested(at: $1) }
    #expect(stage.wait(5100, life: 1).contains(.stop(.left)))
    var second = Stage()
    second.becomeReady()
    second.receive(.lease(Stage.lease(1)))
    _ = second.perform { $0.stopRequested(at: $1) }
    #expect(second.perform { $0.stopRequested(at: $1) }.contains(.stop(.left)))
}

@Test func aCoordinatorOfAnotherVersionEndsTheWorkerWithAReason() {
    var stage = Stage()
    _ = stage.perform { $0.timePassed(at: $1) }
    let actions = stage.perform { $0.receivedUnreadable(.otherVersion(9), at: $1) }
    #expect(actions == [.stop(.refused(reason: WireError.otherVersion(9).description))])
    #expect(stage.worker.nextDeadline == .never)
}

@Test func aLostReadyIsSaidAgain() {
    var stage = Stage()
    stage.becomeReady()
    #expect(stage.wait(1100, life: 1).sent.contains(.ready(Stage.run)))
}
