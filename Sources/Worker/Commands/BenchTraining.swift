import Foundation
import Shared

/// `winnow-worker bench-training`.
struct BenchTraining: Command {
    static let description = CommandDescription(
        name: "bench-training",
        summary: "measure how fast gradients are computed",
        discussion: """
            Computes the gradients of random images in steps, one shard per thread, and prints the images per second of \
            the fastest step. Benchmarks/training compares it with PyTorch.

              winnow-worker bench-training --model resnet56.th --batch-size 128 --shards 2 --json
            """)

    @Option("Network (ONNX, PyTorch or safetensors).", value: "FILE") var model: String
    @Option("Network to distil from as well, such as the unpruned one.", value: "FILE")
    var distillFrom: String?
    @Option("Images per step.", value: "N") var batchSize: Int = 128
    @Option("Shares per step.", value: "N") var shards: Int = 2
    @Option("Number format of convolution inputs: float32 or bfloat16.", value: "FORMAT")
    var precision: TrainingPrecision = .float32
    @Option("Number of steps; the fastest counts.", value: "N") var steps: Int = 5
    @Option("Compute threads. By default all processors available to this process.", value: "N") var threads: Int?
    @Flag("Print JSON.") var json: Bool

    func validate() throws {
        guard shards > 0, batchSize > 0, batchSize % shards == 0, batchSize / shards <= TrainingShard.imagesMax else {
            throw Failure(.usage, "--batch-size must be a positive multiple of --shards")
        }
        guard steps > 0 else { throw Failure(.usage, "--steps must be positive") }
        if let threads, !(1...1024).contains(threads) { throw Failure(.usage, "--threads must be from 1 to 1024") }
    }

    func run() throws {
        let network = try Checkpoint.network(at: model)
        let teacher = try distillFrom.map { try Checkpoint.network(at: $0) }
        let distillation = teacher.map { _ in TrainingLoss.Distillation(temperature: 4, weight: 0.7) }
        let threads = threads ?? CPUAllowance.processors
        let loader = ImageLoader(
            .noise(batchSize, for: network.graph, seed: 1),
            .scaling(channels: network.graph.imageShape.channels))
        let done = DispatchSemaphore(value: 0)
        let failure = Locked<(any Error)?>(nil)
        let pool = TrainingPool(
            threads: threads,
            TrainingPool.Materials(
                graph: network.graph, teacher: teacher,
                loss: TrainingLoss(distillation: distillation), shardSize: batchSize / shards, precision: precision,
                trainingImages: loader, testImages: loader))
        var best = Double.infinity
        let layout = ParameterLayout(network.graph)
        let (trained, statistics) = layout.flatten(network)
        // The first step plans the network's layers.
        for step in 0...steps {
            let start = Date()
            pool.load(version: UInt64(step), trained + statistics)
            for shard in 0..<shards {
                let first = shard * (batchSize / shards)
                let images = Array(first..<first + batchSize / shards)
                let work = Job.Step.gradient(TrainingShard(images: images, augmentationSeed: 1, epoch: step))
                pool.submit(work, version: UInt64(step)) { outcome, _ in
                    if case .failure(let error) = outcome { failure.withLock { $0 = error } }
                    done.signal()
                }
            }
            for _ in 0..<shards { done.wait() }
            if let error = failure.withLock({ $0 }) { throw Failure(.internalFault, "\(error)") }
            if step > 0 { best = min(best, -start.timeIntervalSinceNow) }
        }
        pool.stop()
        let rate = Double(batchSize) / best
        if json {
            print("{\"images_per_second\":\(rate),\"threads\":\(threads),\"shards\":\(shards),\"batch\":\(batchSize)}")
        } else {
            print(
                String(format: "%.0f images/s, %d threads, %d shards of %d", rate, threads, shards, batchSize / shards))
        }
    }
}
