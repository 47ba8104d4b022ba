import Shared
import Testing

@testable import Coordinator

/// A scheduler of a training's steps and a clock; the invariants are checked after every event.
private struct Stage {
    static let run = RunID(high: 1, low: 2)
    static let layout: ParameterLayout = {
        guard let network = try? InitialNetwork("resnet:1x8") else { preconditionFailure("an architecture") }
        return ParameterLayout(network.graph)
    }()
    static var rowCount: Int { layout.trainedCount + layout.statisticsCount }

    var scheduler: StepScheduler
    var time = Moment(milliseconds: 0)
    var version: UInt64 = 1

    init(_ change: (inout StepScheduler.Policy) -> Void = { _ in }) {
        let blob = CoordinatorMessage.Blob(digest: Digest(sha256Of: [1] as [UInt8]), size: 1000)
        let work = TrainingWork(
            network: blob, teacher: nil, trainingImages: blob, testImages: blob, normalisation: .standard,
            loss: TrainingLoss(), shardSize: 2, precision: .float32, cutout: 0, mirrors: true,
            rowCount: Self.rowCount)
        var policy = StepScheduler.Policy()
        change(&policy)
        scheduler = StepScheduler(
            welcome: .init(run: Self.run, life: 3, work: .training(work)), layout: Self.layout, policy: policy, at: time
        )
    }

    struct Grant: Equatable {
        let peer: Int
        let id: LeaseID
        let step: Job.Step
    }

    static func grants(_ actions: [ClusterAction]) -> [Grant] {
        actions.compactMap {
            guard case .grant(let peer, let id, .step(let step, _)) = $0 else { return nil }
            return Grant(peer: Int(peer.id), id: id, step: step)
        }
    }

    mutating func perform(_ event: (inout StepScheduler, Moment) -> [ClusterAction]) -> [ClusterAction] {
        let actions = event(&scheduler, time)
        if let broken = scheduler.brokenInvariant() { Issue.record("\(broken)") }
        return actions
    }

    @discardableResult
    mutating func receive(_ message: WorkerMessage, from peer: Int) -> [ClusterAction] {
        let origin = Origin(key: nil, address: "host \(peer)")
        return perform {
            $0.received(message, from: Peer(id: UInt64(peer)), of: origin, at: $1, granted: { _ in nil })
        }
    }

    @discardableResult
    mutating func join(_ worker: Int, threads: Int = 1, incarnation: UInt64 = 1) -> [ClusterAction] {
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 0, low: UInt64(worker)), incarnation: incarnation, host: "h\(worker)",
            threads: threads, instructionSet: "plain", programVersion: "1")
        return receive(.hello(hello), from: worker) + receive(.ready(Self.run), from: worker)
    }

    static func shard(_ number: Int) -> Job.Step {
        .gradient(TrainingShard(images: [number, number + 1], augmentationSeed: nil, epoch: 0))
    }

    mutating func begin(shards: Int) -> [ClusterAction] {
        let version = version
        return perform { $0.began((0..<shards).map { Self.shard($0) }, version: version, at: $1) }
    }

    @discardableResult
    mutating func answer(
        _ grant: Grant, from peer: Int? = nil, row: [Float]? = nil, _ result: JobResult? = nil
    ) -> [ClusterAction] {
        var all: [ClusterAction] = []
        for part in RowPart.parts(
            of: row ?? [Float](repeating: 1, count: Self.rowCount), subject: grant.id.subject)
        {
            all += receive(.part(part), from: peer ?? grant.peer)
        }
        let answer = WorkerMessage.Answer(
            run: Self.run, lease: grant.id, computeMicroseconds: 1000,
            result: result ?? .gradient(lossSum: 1, correct: 1, images: 2))
        return all + receive(.answer(answer), from: peer ?? grant.peer)
    }

    @discardableResult
    mutating func wait(_ milliseconds: Int64, heartbeatsFrom peers: [Int] = []) -> [ClusterAction] {
        var all: [ClusterAction] = []
        let end = time + milliseconds
        while time < end {
            time = time + 100
            if time.milliseconds % 500 == 0 {
                for peer in peers {
                    guard let worker = scheduler.peers[Peer(id: UInt64(peer))] else { continue }
                    let held = scheduler.workers[worker].duty.leases.map { LeaseID(life: 3, number: $0) }
                    let seen = LeaseID(life: 3, number: scheduler.lastLease)
                    all += receive(.heartbeat(held, seen: seen), from: peer)
                }
            }
            all += perform { $0.timePassed(at: $1) }
        }
        return all
    }
}

@Test func sharesGoToWorkersByTheirThreads() {
    var stage = Stage()
    stage.join(1)
    stage.join(2, threads: 3)
    let grants = Stage.grants(stage.begin(shards: 4))
    #expect(grants.count { $0.peer == 1 } == 1)
    #expect(grants.count { $0.peer == 2 } == 3)
}

@Test func parametersGoAheadOfTheFirstShareOfAVersion() {
    var stage = Stage()
    stage.join(1, threads: 2)
    let first = stage.begin(shards: 2)
    #expect(first.prefix(1) == [.sendParameters(Peer(id: 1))])
    #expect(first.count { $0 == .sendParameters(Peer(id: 1)) } == 1)
    for grant in Stage.grants(first) { stage.answer(grant) }
    #expect(!stage.begin(shards: 1).contains(.sendParameters(Peer(id: 1))))
    for grant in stage.scheduler.leases.keys {
        stage.answer(.init(peer: 1, id: LeaseID(life: 3, number: grant), step: Stage.shard(0)))
    }
    stage.version = 2
    #expect(stage.begin(shards: 1).contains(.sendParameters(Peer(id: 1))))
}

@Test func nobodyAnswersAShareThatItDoesNotHold() throws {
    var stage = Stage()
    stage.join(1)
    let grant = try #require(Stage.grants(stage.begin(shards: 1)).first)
    stage.join(2)
    stage.answer(grant, from: 2)
    stage.receive(.failed(.init(run: Stage.run, lease: grant.id, mask: nil, reason: "no")), from: 2)
    #expect(!stage.scheduler.isDone)
    #expect(stage.scheduler.workers[1].malformed > 0 || stage.scheduler.workers[1].dismissed != nil)
    stage.answer(grant)
    #expect(stage.scheduler.isDone)
}

@Test func theSharesOfALostWorkerGoToAnother() {
    var stage = Stage()
    stage.join(1)
    stage.join(2)
    let grants = Stage.grants(stage.begin(shards: 2))
    #expect(Set(grants.map(\.peer)) == [1, 2])
    let again = Stage.grants(stage.wait(5000, heartbeatsFrom: [2]))
    #expect(again.map(\.peer) == [2])
    for grant in grants.filter({ $0.peer == 2 }) + again { stage.answer(grant) }
    #expect(stage.scheduler.isDone)
}

@Test func aShareThatNeverReturnsIsGivenAgain() {
    var stage = Stage { $0.firstDeadlineMilliseconds = 5000 }
    stage.join(1)
    stage.join(2)
    let grants = Stage.grants(stage.begin(shards: 2))
    for grant in grants where grant.peer == 2 { stage.answer(grant) }
    // The first one sends heartbeats and computes for ever.
    let actions = stage.wait(7000, heartbeatsFrom: [1, 2])
    #expect(actions.contains { if case .cancel(Peer(id: 1), _) = $0 { true } else { false } })
    #expect(Stage.grants(actions).map(\.peer) == [2])
    for grant in Stage.grants(actions) { stage.answer(grant) }
    #expect(stage.scheduler.isDone)
}

@Test func aShareThatTakesMuchLongerThanItsPeersIsGivenToAnIdleWorkerAsWell() {
    var stage = Stage()
    stage.join(1)
    stage.join(2, threads: 8)
    let grants = Stage.grants(stage.begin(shards: 9))
    stage.time = stage.time + 100
    for grant in grants where grant.peer == 2 { stage.answer(grant) }
    #expect(Stage.grants(stage.wait(200, heartbeatsFrom: [1, 2])).isEmpty)
    let copies = Stage.grants(stage.wait(400, heartbeatsFrom: [1, 2]))
    #expect(copies.map(\.peer) == [2])
    #expect(Stage.grants(stage.wait(1000, heartbeatsFrom: [1, 2])).isEmpty)
    // The first answer counts; the other one is cancelled.
    let end = copies.flatMap { stage.answer($0) }
    #expect(end.contains { if case .cancel(Peer(id: 1), _) = $0 { true } else { false } })
    #expect(stage.scheduler.isDone)
}

@Test func whoDoesNotReadGetsNothing() {
    var stage = Stage()
    stage.join(1)
    _ = stage.perform { $0.blocked(Peer(id: 1), true, at: $1) }
    #expect(Stage.grants(stage.begin(shards: 1)).isEmpty)
    #expect(Stage.grants(stage.perform { $0.blocked(Peer(id: 1), false, at: $1) }).map(\.peer) == [1])
    _ = stage.perform { $0.blocked(Peer(id: 1), true, at: $1) }
    stage.join(2)
    #expect(Stage.grants(stage.wait(12_000, heartbeatsFrom: [1, 2])).map(\.peer) == [2])
}

@Test func oneHostThatFailsEndsNoTraining() {
    var stage = Stage()
    stage.join(1)
    stage.join(2)
    var open = Stage.grants(stage.begin(shards: 20))
    var rounds = 0
    while !open.isEmpty, rounds < 1000 {
        rounds += 1
        let grant = open.removeFirst()
        open += Stage.grants(
            grant.peer == 2
                ? stage.receive(.failed(.init(run: Stage.run, lease: grant.id, mask: nil, reason: "no")), from: 2)
                : stage.answer(grant))
    }
    #expect(stage.scheduler.isDone)
    #expect(stage.scheduler.givenUp == nil)
}

@Test func whatNobodyCanComputeEndsTheTraining() {
    var stage = Stage()
    stage.join(1)
    var open = Stage.grants(stage.begin(shards: 1))
    for _ in 0..<10 where stage.scheduler.givenUp == nil {
        open = Stage.grants(open.flatMap { stage.answer($0, .gradient(lossSum: .infinity, correct: 0, images: 2)) })
    }
    #expect(stage.scheduler.givenUp?.contains("failed 3 times") == true)
    #expect(stage.scheduler.givenUp?.contains("not finite") == true)
    #expect(stage.scheduler.workers[0].dismissed == nil, "a network that diverged is nobody's fault")
}

/// An answer that no honest worker gives.
struct WrongShare: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let row: [Float]?
    let result: JobResult
    /// Whether it is the worker's fault beyond doubt.
    let isMisbehaviour: Bool

    static let all: [WrongShare] = {
        func row(_ change: (inout [Float]) -> Void) -> [Float] {
            var row = [Float](repeating: 1, count: Stage.rowCount)
            change(&row)
            return row
        }
        let right = JobResult.gradient(lossSum: 1, correct: 1, images: 2)
        return [
            WrongShare(
                testDescription: "a gradient that is no number", row: row { $0[3] = .nan }, result: right,
                isMisbehaviour: false),
            WrongShare(
                testDescription: "an infinite gradient", row: row { $0[3] = .infinity }, result: right,
                isMisbehaviour: false),
            WrongShare(
                testDescription: "a negative variance", row: row { $0[$0.count - 1] = -1 }, result: right,
                isMisbehaviour: false),
            WrongShare(
                testDescription: "a loss below zero", row: nil,
                result: .gradient(lossSum: -100, correct: 1, images: 2), isMisbehaviour: true),
            WrongShare(
                testDescription: "of other images", row: nil, result: .gradient(lossSum: 1, correct: 1, images: 3),
                isMisbehaviour: true),
            WrongShare(
                testDescription: "to another question", row: nil, result: .evaluation(Evaluation(images: 2)),
                isMisbehaviour: true),
            WrongShare(testDescription: "of masks", row: nil, result: .masks([]), isMisbehaviour: true),
        ]
    }()
}

@Test(arguments: WrongShare.all) func anAnswerThatCannotBeIsNotTaken(wrong: WrongShare) throws {
    var stage = Stage()
    stage.join(1)
    stage.join(2)
    let grant = try #require(Stage.grants(stage.begin(shards: 1)).first)
    let actions = stage.answer(grant, row: wrong.row, wrong.result)
    #expect(actions.contains(.acknowledge(Peer(id: UInt64(grant.peer)), grant.id)))
    #expect(!stage.scheduler.isDone)
    let worker = try #require(stage.scheduler.peers[Peer(id: UInt64(grant.peer))])
    #expect((stage.scheduler.workers[worker].malformed > 0) == wrong.isMisbehaviour)
    // Another worker is asked, and answers.
    let again = Stage.grants(actions)
    #expect(again.map(\.peer) == [3 - grant.peer])
    for grant in again { stage.answer(grant) }
    #expect(stage.scheduler.isDone)
}

@Test func aWorkerThatAnswersNonsenseAgainAndAgainIsDismissedAndStaysSo() {
    var stage = Stage()
    stage.join(1)
    var open = Stage.grants(stage.begin(shards: 8))
    var dismissed = false
    while !dismissed, let grant = open.first {
        open.removeFirst()
        let actions = stage.answer(grant, .masks([]))
        open += Stage.grants(actions)
        dismissed = actions.contains { if case .dismiss = $0 { true } else { false } }
    }
    #expect(dismissed)
    let again = stage.join(1, incarnation: 2)
    #expect(again.contains { if case .dismiss = $0 { true } else { false } })
    #expect(!again.contains(.welcome(Peer(id: 1))))
}

@Test func anAnswerWithoutItsWholeRowIsNotAcknowledged() throws {
    var stage = Stage { $0.partFloats = 100 }
    stage.join(1)
    let grant = try #require(Stage.grants(stage.begin(shards: 1)).first)
    let parts = RowPart.parts(
        of: [Float](repeating: 1, count: Stage.rowCount), subject: grant.id.subject, floats: 100)
    for part in parts.dropFirst() { stage.receive(.part(part), from: 1) }
    let answer = WorkerMessage.answer(
        .init(
            run: Stage.run, lease: grant.id, computeMicroseconds: 1,
            result: .gradient(lossSum: 1, correct: 1, images: 2)))
    #expect(stage.receive(answer, from: 1).isEmpty)
    #expect(stage.receive(.part(parts[0]), from: 1).contains(.acknowledge(Peer(id: 1), grant.id)))
    #expect(stage.scheduler.isDone)
}

@Test func parametersThatAreAskedForAgainAndAgainAreNotSentForEver() {
    var stage = Stage()
    stage.join(1)
    _ = stage.begin(shards: 1)
    var sent = 0
    for _ in 0..<1000 {
        let actions = stage.receive(.wantParameters(version: 1, offset: 0), from: 1)
        if actions.contains(.sendPart(Peer(id: 1), offset: 0)) { sent += 1 }
    }
    #expect((1...500).contains(sent))
    #expect(stage.scheduler.workers[0].dismissed != nil)
}
