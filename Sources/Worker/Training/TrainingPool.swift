import Foundation
import Shared

/// Threads that compute a training's tasks, one task at a time each.
final class TrainingPool: Sendable {
    /// What all threads read.
    struct Materials: Sendable {
        var graph: Graph
        var teacher: Network?
        var loss: TrainingLoss
        var shardSize: Int
        var precision: TrainingPrecision
        var trainingImages: ImageLoader
        var testImages: ImageLoader
    }

    /// What became of a task.
    enum Outcome: Sendable {
        case gradient(ShardGradient)
        case evaluation(Evaluation)
        case failure(String)
    }

    private struct Job {
        let task: TrainingTask
        let parameters: ShardTrainer.Parameters
    }

    private struct State {
        var jobs: [Job] = []
        var outcomes: [(task: TrainingTask, outcome: Outcome)] = []
        var isStopped = false
    }

    /// oneDNN's and our kernels put up to a megabyte on the stack.
    private static let stackBytes = 16 << 20

    private let materials: Materials
    private let finished: WakeUp
    private let state = Locked(State())
    private let available = DispatchSemaphore(value: 0)
    private let threads: Locked<[BackgroundThread]> = Locked([])

    /// Starts threads, which signal `finished` after every task.
    init(threads count: Int, _ materials: Materials, finished: WakeUp) {
        self.materials = materials
        self.finished = finished
        let started = (0..<count).map { [self] _ in
            BackgroundThread(name: "winnow-train", stackBytes: Self.stackBytes) { self.work() }
        }
        threads.withLock { $0 = started }
    }

    /// Hands a task to the next idle thread.
    func submit(_ task: TrainingTask, with parameters: ShardTrainer.Parameters) {
        state.withLock { $0.jobs.append(Job(task: task, parameters: parameters)) }
        available.signal()
    }

    /// What was computed since the last call.
    func takeOutcomes() -> [(task: TrainingTask, outcome: Outcome)] {
        state.withLock { state in
            defer { state.outcomes = [] }
            return state.outcomes
        }
    }

    /// Ends the threads after the tasks that they have begun, and waits for them.
    func stop() {
        state.withLock {
            $0.jobs = []
            $0.isStopped = true
        }
        let all = threads.withLock { $0 }
        for _ in all { available.signal() }
        for thread in all { thread.join() }
    }

    private func work() {
        let trainer = ShardTrainer(
            materials.graph, images: materials.trainingImages, loss: materials.loss, teacher: materials.teacher,
            shardSize: materials.shardSize, precision: materials.precision)
        while true {
            available.wait()
            let (job, isStopped) = state.withLock { state in
                (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.isStopped)
            }
            if isStopped { return }
            guard let job else { continue }
            let outcome: Outcome
            do {
                outcome = try compute(job, trainer)
            } catch {
                outcome = .failure("\(error)")
            }
            state.withLock { $0.outcomes.append((job.task, outcome)) }
            finished.signal()
        }
    }

    private func compute(_ job: Job, _ trainer: ShardTrainer) throws -> Outcome {
        switch job.task.work {
        case .gradient(let shard):
            guard shard.images.count == materials.shardSize,
                shard.images.allSatisfy({ $0 < materials.trainingImages.count })
            else { throw Failure(.badInput, "the task names images that are not there") }
            return .gradient(try trainer.gradient(of: shard, with: job.parameters))
        case .evaluation(let split, let range):
            let images = split == .train ? materials.trainingImages : materials.testImages
            guard range.upperBound <= images.count else {
                throw Failure(.badInput, "the task names images that are not there")
            }
            return .evaluation(try trainer.evaluate(range, of: images, with: job.parameters))
        }
    }
}
