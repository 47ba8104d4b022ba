import Shared
import TestSupport

@testable import Coordinator

/// Questions about networks, whose answers are made up: functions of the task and the network, as real ones are.
struct SimulatedQuestions {
    /// Tasks about one network.
    struct Question {
        /// The network as a row of floats, and its version: another one for another network.
        let network: [Float]
        let version: UInt64
        let tasks: [NetworkTask]
        /// Sets of images that workers have by then.
        let imageSets: Int
    }

    /// Sets of images at most.
    static let imageSetsMax = 3
    private static let filters = 9

    /// In the order in which they are asked.
    let questions: [Question]

    init(random: inout SeededGenerator) {
        var questions: [Question] = []
        var imageSets = Int.random(in: 0...1, using: &random)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            imageSets = min(max(imageSets, 1) + .random(in: 0...1, using: &random), Self.imageSetsMax)
            let isSame = !questions.isEmpty && Bool.random(using: &random)
            let count = Int.random(in: 1...400, using: &random)
            questions.append(
                Question(
                    network: isSame
                        ? questions[questions.count - 1].network
                        : (0..<count).map { _ in .random(in: -1...1, using: &random) },
                    version: (questions.last?.version ?? 0) + (isSame ? 0 : 1),
                    tasks: (0..<Int.random(in: 1...6, using: &random)).map { _ in
                        Self.task(imageSets: imageSets, &random)
                    }, imageSets: imageSets))
        }
        self.questions = questions
    }

    private static func task(imageSets: Int, _ random: inout SeededGenerator) -> NetworkTask {
        let set = Int.random(in: 0..<imageSets, using: &random)
        let mask = Mask(count: filters, disabled: (0..<filters).filter { _ in Bool.random(using: &random) })
        let images = Int.random(in: 1...50, using: &random)
        switch Int.random(in: 0...4, using: &random) {
        case 0:
            return .evaluations(
                .init(
                    masks: [Mask](repeating: mask, count: .random(in: 1...4, using: &random)),
                    first: .random(in: 0...90, using: &random), imageSet: set, images: 0..<images, calibrationSet: nil,
                    settings: .init(split: .train, images: images, batchNorm: .frozen)))
        case 1: return .gateGradients(filters: filters, imageSet: set, 0..<images)
        case 2: return .statistics(.recalibrated(images: images), under: mask, imageSet: set)
        case 3: return .selection(asManyAs: mask, imageSet: set, images: images)
        default: return .reconstruction(removing: mask, imageSet: set, images: images)
        }
    }

    /// What comes of a task about a network.
    func truth(_ task: NetworkTask, _ network: [Float]) -> (result: JobResult, row: [Float]) {
        var hash = UInt64(task.kind)
        for value in network { hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01b3 }
        var mixer = SplitMix64(seed: hash)
        func row(_ count: Int) -> [Float] { (0..<count).map { _ in .random(in: 0...1, using: &mixer) } }
        switch task {
        case .evaluations(let batch):
            let evaluations = (0..<batch.masks.count).map { offset in
                MaskEvaluation(
                    mask: batch.first + offset,
                    evaluation: Evaluation(
                        lossSum: .random(in: 0...1 << 32, using: &mixer),
                        correct: .random(in: 0...batch.imagesOfMask, using: &mixer), images: batch.imagesOfMask))
            }
            return (.masks(evaluations), [])
        case .gateGradients(let filters, _, _): return (.row, row(filters))
        case .selection(let mask, _, _):
            return (
                .filters(Mask(count: mask.count, disabled: Array((0..<mask.count).suffix(mask.disabledCount)))), []
            )
        case .statistics, .reconstruction: return (.row, row(.random(in: 1...2 * network.count, using: &mixer)))
        }
    }

    /// Why an answer cannot be, as a network that cannot be read.
    static func refusal(_ task: NetworkTask, _ answer: StepScheduler.Answer) -> String? {
        guard case .row(let row) = answer, !row.allSatisfy({ $0 >= 0 }) else { return nil }
        return "no network"
    }

    /// Whether the answers to a question are the right ones, to the bit.
    func isRight(_ answers: [StepScheduler.Answer], to question: Question) -> Bool {
        answers
            == question.tasks.map { task in
                let (result, row) = truth(task, question.network)
                switch result {
                case .masks(let evaluations): return .evaluations(evaluations.map(\.evaluation))
                case .filters(let mask): return .filters(mask)
                case .row, .gradient, .evaluation: return .row(row)
                }
            }
    }
}
