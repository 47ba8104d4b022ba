import Foundation
import Shared

/// Drives a training to its end: has its steps computed, saves its state, and informs the user.
struct TrainingSession {
    /// Seconds between two saves within an epoch.
    private static let saveEvery: Double = 300
    /// Seconds between two lines without a terminal.
    private static let lineEvery: Double = 30
    /// Shards' worth of images per evaluation task.
    private static let shardsPerEvaluation = 8

    let cluster: StepLoop
    let file: TrainingFile
    let outputs: TrainingOutputs
    let testImageCount: Int
    var page: TrainingPage?

    /// Trains to the last epoch. Throws an `.interrupted` ``Failure`` on a signal; progress is saved.
    func run(_ progress: inout TrainingProgress, signals: borrowing SignalQueue) throws {
        var clock = StepClock()
        var savedAt = Date()
        // A stalled training also shows that, and why.
        cluster.ticked = { [weak cluster, page] in
            if let cluster { page?.tick(workers: cluster.workerCount, whyIdle: cluster.whyIdle) }
        }
        do {
            while true {
                let start = Date()
                guard !file.wasMoved else {
                    throw Failure(
                        .unavailable,
                        "the state file \(file.path) was moved or deleted during the training; put it back, "
                            + "and resume with the same command and --resume")
                }
                switch progress.next {
                case .finished:
                    try outputs.write(progress)
                    try file.save(progress)
                    return
                case .step(let shards):
                    let gradients = try gradients(of: shards, progress, signals: signals)
                    try progress.apply(gradients, seconds: -start.timeIntervalSinceNow)
                    clock.stepDone(images: progress.settings.batchSize)
                    tell(progress, &clock)
                    if -savedAt.timeIntervalSinceNow > Self.saveEvery {
                        try file.save(progress)
                        savedAt = Date()
                    }
                case .evaluation:
                    Log.shared.setStatus("evaluating")
                    let (validation, test) = try evaluate(progress, signals: signals)
                    progress.apply(validation: validation, test: test, seconds: -start.timeIntervalSinceNow)
                    tellEpoch(progress)
                    if progress.position.epoch > 0 { try outputs.write(progress) }
                    try file.save(progress)
                    savedAt = Date()
                    clock = StepClock()
                }
            }
        } catch let failure as Failure where failure.kind == .interrupted {
            try file.save(progress)
            throw Failure(
                .interrupted,
                "interrupted in epoch \(progress.position.epoch + 1), step \(progress.position.step); the "
                    + "state is in \(file.path); resume with '\(Self.commandToGoOn)'")
        }
    }

    private static var commandToGoOn: String {
        let words = CommandLine.arguments
        return ShellWords.command(words.contains("--resume") ? words : words + ["--resume"])
    }

    private func parameters(_ progress: TrainingProgress) -> StepLoop.Parameters {
        StepLoop.Parameters(
            version: progress.version, trained: progress.trained, statistics: progress.statistics)
    }

    private func gradients(
        of shards: [TrainingShard], _ progress: TrainingProgress, signals: borrowing SignalQueue
    ) throws -> [ShardGradient] {
        let answers = try cluster.compute(
            shards.map { .gradient($0) }, with: parameters(progress), signals: signals)
        return answers.compactMap { if case .gradient(let gradient) = $0 { gradient } else { nil } }
    }

    private func evaluate(
        _ progress: TrainingProgress, signals: borrowing SignalQueue
    ) throws -> (validation: Evaluation?, test: Evaluation) {
        let size = progress.settings.shardSize * Self.shardsPerEvaluation
        func works(_ split: EvaluationSettings.Split, _ range: Range<Int>) -> [Job.Step] {
            stride(from: range.lowerBound, to: range.upperBound, by: size).map {
                .evaluation(split, $0..<min($0 + size, range.upperBound))
            }
        }
        let validation = works(.train, progress.validationRange)
        let answers = try cluster.compute(
            validation + works(.test, 0..<testImageCount), with: parameters(progress), signals: signals)
        let evaluations = answers.compactMap { if case .evaluation(let evaluation) = $0 { evaluation } else { nil } }
        return (
            validation.isEmpty ? nil : evaluations.prefix(validation.count).reduce(Evaluation(), +),
            evaluations.dropFirst(validation.count).reduce(Evaluation(), +)
        )
    }

    // MARK: Telling

    /// How fast steps are.
    private struct StepClock {
        private let start = Date()
        private var images = 0
        var lastLine = Date()

        mutating func stepDone(images count: Int) { images += count }

        var imagesPerSecond: Double { Double(images) / max(-start.timeIntervalSinceNow, 1e-3) }
    }

    private func tell(_ progress: TrainingProgress, _ clock: inout StepClock) {
        let rate = clock.imagesPerSecond
        let stepsLeft = progress.settings.epochs * progress.stepsPerEpoch - progress.stepsDone
        let left = Double(stepsLeft * progress.settings.batchSize) / rate
        let position = progress.position
        page?.update(progress, imagesPerSecond: rate, secondsLeft: left, workers: cluster.workerCount)
        let images = Double(max(position.images, 1))
        let text = [
            "epoch \(position.epoch + 1)/\(progress.settings.epochs)",
            "step \(position.step)/\(progress.stepsPerEpoch)",
            "loss \(Text.fixed(position.lossSum / images, 4))",
            "\(Text.fixed(Double(position.correct) / images * 100, 2)) % right",
            "\(Progress.short(rate)) images/s",
            cluster.workerCount == 1 ? "1 worker" : "\(cluster.workerCount) workers",
            "\(Progress.duration(left)) left",
        ].joined(separator: ", ")
        Log.shared.setStatus(text)
        if !Log.shared.isTerminal, -clock.lastLine.timeIntervalSinceNow > Self.lineEvery {
            clock.lastLine = Date()
            Log.shared.line(text)
        }
    }

    private func tellEpoch(_ progress: TrainingProgress) {
        guard let epoch = progress.history.epochs.last else {
            let before = progress.history.testAccuracyBefore ?? 0
            Log.shared.line("before training: \(Text.percent(before, 2)) of the test images right")
            return
        }
        var parts = [
            "epoch \(epoch.epoch)/\(progress.settings.epochs): training loss \(Text.fixed(epoch.trainingLoss, 4))",
            "\(Text.percent(epoch.trainingAccuracy, 2)) right",
        ]
        if let accuracy = epoch.validationAccuracy { parts.append("validation \(Text.percent(accuracy, 2))") }
        parts.append("test \(Text.percent(epoch.testAccuracy, 2))")
        parts.append("\(Progress.duration(epoch.seconds))")
        Log.shared.line(parts.joined(separator: ", "))
    }
}
