import Foundation
import Shared

/// Threads that compute a training's shares, one at a time each.
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

    /// What became of a share: the result and the row that goes ahead of it, and the time that it took in microseconds.
    typealias Completion = @Sendable (Result<(JobResult, row: [Float]), any Error>, UInt64) -> Void

    private struct Job {
        let step: Shared.Job.Step
        let parameters: ShardTrainer.Parameters
        let completion: Completion
    }

    private struct State {
        var jobs: [Job] = []
        var isStopped = false
        var parameters: (version: UInt64, values: ShardTrainer.Parameters)?
    }

    /// oneDNN's and our kernels put up to a megabyte on the stack.
    private static let stackBytes = 16 << 20

    private let materials: Materials
    private let layout: ParameterLayout
    private let state = Locked(State())
    private let available = DispatchSemaphore(value: 0)
    private let threads: Locked<[BackgroundThread]> = Locked([])

    /// Starts threads.
    init(threads count: Int, _ materials: Materials) {
        self.materials = materials
        layout = ParameterLayout(materials.graph)
        let started = (0..<count).map { [self] _ in
            BackgroundThread(name: "winnow-train", stackBytes: Self.stackBytes) { self.work() }
        }
        threads.withLock { $0 = started }
    }

    /// Loads a training that a coordinator announced. Throws a `.badInput` ``Failure`` where its files are not what it
    /// says, and one of any kind where this processor cannot compute it.
    convenience init(_ work: TrainingWork, from library: BlobLibrary, threads: Int) throws {
        func network(_ blob: CoordinatorMessage.Blob) throws -> Network {
            try Checkpoint.network(bytes: library.take(blob), name: "the coordinator's network", note: { _ in })
        }
        let graph = try network(work.network).graph
        let layout = ParameterLayout(graph)
        guard layout.trainedCount + layout.statisticsCount == work.rowCount else {
            throw Failure(.badInput, "the coordinator's network has another number of parameters than it announces")
        }
        func images(_ blob: CoordinatorMessage.Blob) throws -> ImageLoader {
            let set = try ImageSet(blob: library.take(blob), name: "the coordinator's images")
            try set.check(fits: graph)
            try set.check(work.normalisation)
            return ImageLoader(set, work.normalisation, cutout: work.cutout, mirrors: work.mirrors)
        }
        let materials = Materials(
            graph: graph, teacher: try work.teacher.map(network), loss: work.loss, shardSize: work.shardSize,
            precision: work.precision, trainingImages: try images(work.trainingImages),
            testImages: try images(work.testImages))
        // What this processor cannot compute is known before anything is asked of it.
        _ = try TrainingPlan(graph, images: 1, purpose: .training, precision: work.precision)
        self.init(threads: threads, materials)
    }

    /// Takes a version of the parameters, followed by the statistics, for the shares that follow.
    func load(version: UInt64, _ row: [Float]) {
        let values = ShardTrainer.Parameters(
            trained: Array(row.prefix(layout.trainedCount)), statistics: Array(row.dropFirst(layout.trainedCount)))
        state.withLock { $0.parameters = (version, values) }
    }

    /// Hands a share to the next idle thread, which calls `completion`.
    func submit(_ step: Shared.Job.Step, version: UInt64, _ completion: @escaping Completion) {
        guard let parameters = state.withLock({ $0.parameters }), parameters.version == version else {
            completion(.failure(Failure(.badInput, "the parameters of version \(version) are not here")), 0)
            return
        }
        state.withLock { $0.jobs.append(Job(step: step, parameters: parameters.values, completion: completion)) }
        available.signal()
    }

    /// Ends the threads after the shares that they have begun, and waits for them.
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
            let start = ContinuousClock.now
            let outcome = Result { try compute(job, trainer) }
            job.completion(outcome, UInt64(max(1, start.duration(to: .now) / .microseconds(1))))
        }
    }

    private func compute(_ job: Job, _ trainer: ShardTrainer) throws -> (JobResult, row: [Float]) {
        switch job.step {
        case .gradient(let shard):
            guard shard.images.count == materials.shardSize,
                shard.images.allSatisfy({ $0 < materials.trainingImages.count })
            else { throw Failure(.badInput, "the job names images that are not there") }
            let gradient = try trainer.gradient(of: shard, with: job.parameters)
            return (
                .gradient(lossSum: gradient.lossSum, correct: gradient.correct, images: gradient.images),
                gradient.gradient + gradient.statistics
            )
        case .evaluation(let split, let range):
            let images = split == .train ? materials.trainingImages : materials.testImages
            guard range.upperBound <= images.count else {
                throw Failure(.badInput, "the job names images that are not there")
            }
            return (.evaluation(try trainer.evaluate(range, of: images, with: job.parameters)), [])
        case .network: throw Failure(.badInput, "a task about a network, in a training")
        }
    }
}
