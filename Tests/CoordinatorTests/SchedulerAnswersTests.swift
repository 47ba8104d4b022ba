import Shared
import Testing

@testable import Coordinator

/// An answer that a confused or dishonest worker could send.
struct WrongAnswer: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let change: @Sendable (inout WorkerMessage.Answer) -> Void

    static let all: [WrongAnswer] = [
        WrongAnswer(testDescription: "of another run") { $0.run = RunID(high: 7, low: 7) },
        WrongAnswer(testDescription: "with a mask that it was not given") {
            $0.evaluations.append(SchedulerStage.evaluation(99))
        },
        WrongAnswer(testDescription: "with another number of images") {
            for index in $0.evaluations.indices { $0.evaluations[index].evaluation.images += 1 }
        },
        WrongAnswer(testDescription: "with more right images than images") {
            $0.evaluations[0].evaluation.correct = SchedulerStage.images + 1
        },
        WrongAnswer(testDescription: "with a negative loss") { $0.evaluations[0].evaluation.lossSum = -1 },
        WrongAnswer(testDescription: "with the same mask twice") { $0.evaluations.append($0.evaluations[0]) },
        WrongAnswer(testDescription: "of a lease that was never granted") {
            $0.lease = LeaseID(life: 1, number: 1000)
        },
    ]
}

@Test(arguments: WrongAnswer.all) func anAnswerThatCannotBeIsNotRecorded(wrong: WrongAnswer) throws {
    var stage = SchedulerStage(masks: 100)
    let granted = stage.join(1)
    let lease = try #require(granted.grants.first)
    var losses = WorkerMessage.Answer(
        run: SchedulerStage.run, lease: lease.id, computeMicroseconds: 1000,
        evaluations: lease.masks.map { SchedulerStage.evaluation($0) })
    wrong.change(&losses)
    let answer = stage.receive(.answer(losses), from: 1)
    #expect(stage.recorded.isEmpty)
    #expect(stage.scheduler.workers[0].malformed == 1)
    #expect(stage.finish(granted + answer + stage.join(2)).outcome == .complete)
    #expect(stage.recorded.sorted() == Array(0..<100))
}

@Test func nobodyAnswersAnotherWorkersLease() throws {
    var stage = SchedulerStage(masks: 100)
    let lease = try #require(stage.join(1).grants.first)
    stage.join(2)
    stage.answer(lease, from: 2)
    #expect(stage.recorded.isEmpty)
    stage.answer(lease, from: 1)
    #expect(stage.recorded == lease.masks)
}

@Test func whoEvaluatedWhatIsKnownAfterAResume() throws {
    var policy = SchedulingPolicy()
    policy.verifiedShare = 0.5
    var stage = SchedulerStage(masks: 40, life: 2, policy: policy)
    let liar = WorkerID(high: 0, low: 1)
    let alone = try #require((0..<40).first { !stage.scheduler.isVerified($0) })
    stage.scheduler.restore(mask: alone, by: liar)
    stage.recorded = [alone]
    var open = stage.join(1).grants + stage.join(2).grants + stage.join(3).grants
    var retracted: [Int] = []
    while !open.isEmpty {
        let lease = open.removeFirst()
        let next = stage.answer(lease, from: lease.peer, wrongBy: lease.peer == 1 ? 7 : 0)
        for case .retract(let masks) in next { retracted += masks }
        open += next.grants
    }
    #expect(retracted.contains(alone), "what a liar evaluated before the restart is evaluated again")
    #expect(stage.recorded.sorted() == Array(0..<40))
}
