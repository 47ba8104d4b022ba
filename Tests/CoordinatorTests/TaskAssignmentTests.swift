import Shared
import Testing

@testable import Coordinator

@Suite struct TaskAssignmentTests {
    private func tasks(_ numbers: Range<UInt64>) -> [TrainingTask] {
        numbers.map { TrainingTask(number: $0, version: 1, work: .evaluation(.test, 0..<1)) }
    }

    private let a = Peer(id: 1)
    private let b = Peer(id: 2)

    private func moment(_ milliseconds: Int64) -> Moment { Moment(milliseconds: milliseconds) }

    @Test func tasksGoToWorkersByTheirThreads() {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.workerJoined(b, threads: 3, at: moment(0))
        assignment.begin(tasks(0..<4))
        let assigned = assignment.assign(at: moment(0))
        #expect(assigned.count { $0.peer == a } == 1)
        #expect(assigned.count { $0.peer == b } == 3)
    }

    @Test func nobodyAnswersATaskThatItDoesNotHold() throws {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, witness: "a", at: moment(0))
        assignment.begin(tasks(0..<1))
        #expect(assignment.assign(at: moment(0)).map(\.peer) == [a])
        // It only said hello.
        assignment.workerJoined(b, threads: 1, witness: "b", at: moment(0))
        for stranger in [b, Peer(id: 77)] {
            #expect(assignment.answered(0, by: stranger, at: moment(1)) == .unneeded)
            try assignment.failed(0, by: stranger, reason: "none")
        }
        #expect(!assignment.isDone)
        #expect(assignment.answered(0, by: a, at: moment(2)) == .wanted)
        assignment.checkInvariants()
    }

    @Test func oneHostThatFailsEndsNoTraining() throws {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, witness: "a", at: moment(0))
        assignment.workerJoined(b, threads: 1, witness: "b", at: moment(0))
        assignment.begin(tasks(0..<20))
        var now: Int64 = 0
        while !assignment.isDone {
            now += 1
            try #require(now < 1000)
            for (peer, task) in assignment.assign(at: moment(now)) {
                if peer == b {
                    try assignment.failed(task.number, by: b, reason: "no number")
                } else {
                    #expect(assignment.answered(task.number, by: a, at: moment(now)) == .wanted)
                }
            }
            assignment.workerHeard(a, at: moment(now))
            assignment.workerHeard(b, at: moment(now))
            assignment.checkInvariants()
        }
    }

    @Test func whatNobodyCanComputeEndsTheTraining() throws {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, witness: "a", at: moment(0))
        assignment.begin(tasks(0..<1))
        var failure: Failure?
        for now in 0..<10 as Range<Int64> where failure == nil {
            for (peer, task) in assignment.assign(at: moment(now)) {
                do {
                    try assignment.failed(task.number, by: peer, reason: "its loss is no number")
                } catch { failure = error as? Failure }
            }
        }
        #expect(failure?.description.contains("failed 3 times") == true)
        #expect(failure?.description.contains("no number") == true)
    }

    @Test func whoDoesNotReadGetsNothing() {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.workerBlocked(a, true)
        assignment.begin(tasks(0..<1))
        #expect(assignment.assign(at: moment(0)).isEmpty)
        assignment.workerBlocked(a, false)
        #expect(assignment.assign(at: moment(0)).map(\.peer) == [a])
    }

    @Test func theTasksOfALostWorkerGoToAnother() {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.workerJoined(b, threads: 1, at: moment(0))
        assignment.begin(tasks(0..<2))
        #expect(assignment.assign(at: moment(0)).count == 2)
        assignment.workerHeard(b, at: moment(5000))
        #expect(assignment.silentWorkers(at: moment(5000)) == [a])
        let again = assignment.assign(at: moment(5000))
        #expect(again.map(\.peer) == [b])
        #expect(assignment.answered(0, by: b, at: moment(5001)) == .wanted)
        #expect(assignment.answered(1, by: b, at: moment(5001)) == .wanted)
        #expect(assignment.isDone)
    }

    @Test func anAnswerThatComesTwiceCountsOnce() {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.begin(tasks(0..<1))
        _ = assignment.assign(at: moment(0))
        #expect(assignment.answered(0, by: a, at: moment(1)) == .wanted)
        #expect(assignment.answered(0, by: b, at: moment(2)) == .unneeded)
    }

    @Test func aTaskThatTakesMuchLongerThanItsPeersIsGivenToAnIdleWorkerAsWell() {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.workerJoined(b, threads: 8, at: moment(0))
        assignment.begin(tasks(0..<9))
        let assigned = assignment.assign(at: moment(0))
        for (peer, task) in assigned where peer == b {
            #expect(assignment.answered(task.number, by: b, at: moment(100)) == .wanted)
        }
        #expect(assignment.assign(at: moment(200)).isEmpty)
        #expect(assignment.assign(at: moment(500)).map(\.peer) == [b])
        #expect(assignment.assign(at: moment(900)).isEmpty)
    }

    @Test func aTaskThatFailsEverywhereEndsTheTraining() throws {
        var assignment = TaskAssignment()
        assignment.workerJoined(a, threads: 1, at: moment(0))
        assignment.begin(tasks(0..<1))
        for _ in 1..<TaskAssignment.failuresMax {
            #expect(assignment.assign(at: moment(0)).count == 1)
            try assignment.failed(0, by: a, reason: "no memory")
        }
        _ = assignment.assign(at: moment(0))
        #expect(throws: Failure.self) { try assignment.failed(0, by: a, reason: "no memory") }
    }

    /// Workers come, fall silent, fail and answer late; then all is calm.
    @Test(arguments: 0..<200) func everyTaskIsAnsweredOnceWhateverHappensToWorkers(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var assignment = TaskAssignment()
        var now: Int64 = 0
        var nextPeer: UInt64 = 1
        var alive: Set<Peer> = []
        var inFlight: [(peer: Peer, task: UInt64)] = []
        var answered: [UInt64: Int] = [:]
        assignment.begin(tasks(0..<40))
        for event in 0..<4000 where !assignment.isDone {
            now += Int64.random(in: 0...300, using: &random)
            let isCalm = event > 2000
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where alive.count < 5:
                let peer = Peer(id: nextPeer)
                nextPeer += 1
                alive.insert(peer)
                assignment.workerJoined(peer, threads: Int.random(in: 1...4, using: &random), at: moment(now))
            case 1 where !isCalm:
                if let peer = alive.sorted(by: { $0.id < $1.id }).randomElement(using: &random) { alive.remove(peer) }
            case 2 where !isCalm && !inFlight.isEmpty:
                let index = Int.random(in: 0..<inFlight.count, using: &random)
                let (peer, task) = inFlight.remove(at: index)
                // Too many failures of one task end a training; that is not what is looked at here.
                if (try? assignment.failed(task, by: peer, reason: "chaos")) == nil { return }
            case 3...5:
                inFlight += assignment.assign(at: moment(now)).map { ($0.peer, $0.task.number) }
            case 6...8 where !inFlight.isEmpty:
                let (peer, task) = inFlight.remove(at: Int.random(in: 0..<inFlight.count, using: &random))
                guard alive.contains(peer) else { break }
                if assignment.answered(task, by: peer, at: moment(now)) == .wanted { answered[task, default: 0] += 1 }
            default:
                for peer in alive { assignment.workerHeard(peer, at: moment(now)) }
                _ = assignment.silentWorkers(at: moment(now))
                for peer in alive where !assignment.knows(peer) {
                    assignment.workerJoined(peer, threads: 2, at: moment(now))
                }
            }
            assignment.checkInvariants()
        }
        #expect(assignment.isDone)
        #expect(answered.count == 40 && answered.values.allSatisfy { $0 == 1 })
    }
}
