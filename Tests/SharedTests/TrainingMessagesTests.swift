import Testing

@testable import Shared

@Suite struct TrainingMessagesTests {
    private var welcome: TrainingWelcome {
        func blob(_ seed: UInt8) -> CoordinatorMessage.Blob {
            .init(digest: Digest(sha256Of: [seed]), size: UInt64(seed) * 1000)
        }
        return TrainingWelcome(
            run: .random(), network: blob(1), teacher: blob(2), trainingImages: blob(3), testImages: blob(4),
            normalisation: .standard,
            loss: TrainingLoss(labelSmoothing: 0.1, distillation: .init(temperature: 4, weight: 0.5)), shardSize: 32,
            precision: .bfloat16, cutout: 8, mirrors: false)
    }

    private var orders: [TrainingOrder] {
        let shard = TrainingShard(images: [5, 0, 49_999], augmentationSeed: 7, epoch: 12)
        return [
            .welcome(welcome),
            .parameters(FloatsPart(subject: 3, total: 10, offset: 4, floats: [1, -2, .infinity])),
            .task(TrainingTask(number: 1, version: 2, work: .gradient(shard))),
            .task(TrainingTask(number: 3, version: 4, work: .evaluation(.test, 10..<500))),
        ]
    }

    private var answers: [TrainingAnswer] {
        [
            .gradient(FloatsPart(subject: 9, total: 2, offset: 0, floats: [0.5, 1.5])),
            .shardDone(task: 1, lossSum: 12.5, correct: 3, images: 32),
            .evaluated(task: 2, Evaluation(lossSum: 1 << 40, correct: 7, images: 9)),
            .failed(task: 3, reason: "no memory"),
        ]
    }

    @Test func messagesAreReadBackAsTheyWereWritten() throws {
        for order in orders {
            #expect(TrainingOrder.mayBe(order.encoded()))
            #expect(try TrainingOrder(decoding: order.encoded()) == order)
        }
        for answer in answers {
            #expect(TrainingAnswer.mayBe(answer.encoded()))
            #expect(try TrainingAnswer(decoding: answer.encoded()) == answer)
        }
    }

    @Test func messagesOfTheOtherSideAndDamagedOnesAreRefused() {
        for order in orders {
            let bytes = order.encoded()
            #expect(throws: WireError.self) { try TrainingAnswer(decoding: bytes) }
            for index in stride(from: 0, to: bytes.count, by: 3) {
                var damaged = bytes
                damaged[index] ^= 0x10
                #expect(throws: WireError.self) { try TrainingOrder(decoding: damaged) }
                #expect(throws: WireError.self) { try TrainingOrder(decoding: Array(bytes[..<index])) }
            }
        }
    }

    @Test func aRowIsPutTogetherFromItsPartsOnlyInOrder() {
        let row = (0..<FloatsPart.floatsMax * 2 + 5).map { Float($0) }
        let parts = FloatsPart.parts(of: row, subject: 8)
        #expect(parts.count == 3)
        var assembly = FloatsAssembly(parts[0], expected: row.count)
        #expect(assembly?.row == nil)
        #expect(assembly?.append(parts[2]) == false)
        #expect(assembly?.append(parts[1]) == true)
        #expect(assembly?.append(parts[2]) == true)
        #expect(assembly?.row == row)
        #expect(FloatsAssembly(parts[1], expected: row.count) == nil)
        #expect(FloatsAssembly(parts[0], expected: row.count + 1) == nil)
    }
}
