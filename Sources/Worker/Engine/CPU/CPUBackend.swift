import CKernels
import Shared
import Synchronization

/// Executes schedules on this machine's processors: every thread takes blocks of images and walks the whole program for
/// them, in its own arena.
final class CPUBackend: Backend {
    let network: CompiledNetwork
    let kernels: winnow_kernels
    private let threads: Int

    var stages: Stages { network.stages }
    var parameterBytes: Int { network.bytes }
    var lanes: Int { kernels.lanesCount }

    /// Prepares a network. Throws a `.badInput` ``Failure`` if it cannot be run.
    init(_ network: Network, instructionSet: InstructionSet, threads: Int) throws {
        kernels = instructionSet.kernels
        self.threads = threads
        self.network = CompiledNetwork(network)
        if let refusal = Self.refusal(of: self.network.stages) { throw Failure(.badInput, refusal) }
    }

    /// It supports everything that a graph can hold.
    static func refusal(of stages: Stages) -> String? { nil }

    func measured(_ source: EvaluationSettings.BatchNorm.Source) -> Set<Int> { network.ownNorms(source) }

    func program(_ schedule: Schedule, storage: Storage) -> CPUProgram {
        CPUProgram(schedule, network, lanes: lanes, storage: storage)
    }

    func bytes(_ program: CPUProgram, copies: Int) -> Int {
        (copies * program.arenaFloats + threads * program.scratchFloats) * MemoryLayout<Float>.stride
    }

    func calibrate(
        _ program: CPUProgram, _ images: PreparedImages, _ normalisation: Normalisation,
        from start: KeptPrefix.Values?, keeping next: KeptPrefix.Values?, isCancelled: () -> Bool,
        norm: @escaping (_ stage: Int, _ channel: Int, _ measured: ChannelStatistics) -> (scale: Float, shift: Float)?
    ) throws {
        let calibration = Calibration(
            program: program, network: network, kernels: kernels, images: images,
            arenas: try (0..<images.blocks).map { _ in try Arena(floats: program.arenaFloats) },
            load: { self.load(images, $0, normalisation, from: start, program.schedule, $1) },
            keep: { block, arena in
                if let next, let kept = program.schedule.kept { next.save(block, from: arena, at: kept.pieces) }
            },
            norm: norm)
        let scratch = try (0..<threads).map { _ in try Arena(floats: program.scratchFloats) }
        guard try calibration.run(scratch: scratch, isCancelled: isCancelled) else { throw CancellationError() }
    }

    func evaluate(
        _ program: CPUProgram, _ images: PreparedImages, _ normalisation: Normalisation, by answers: Answers?,
        from start: KeptPrefix.Values?, keeping next: KeptPrefix.Values?, masks: Int, isCancelled: () -> Bool
    ) throws -> [Evaluation] {
        let nothing = [Evaluation](repeating: Evaluation(), count: masks)
        let byThread = try walk(
            program, images, normalisation, from: start, keeping: next, gathering: nothing, isCancelled: isCancelled
        ) { leaf, block, arena, evaluations in
            let evaluation = self.evaluate(leaf, images, block, program.schedule, arena, by: answers)
            for mask in leaf.masks { evaluations[mask] = evaluations[mask] + evaluation }
        }
        return byThread.reduce([Evaluation](repeating: Evaluation(images: images.count), count: masks)) { all, part in
            zip(all, part).map { $0 + $1 }
        }
    }

    func answers(
        _ program: CPUProgram, _ images: PreparedImages, _ normalisation: Normalisation, isCancelled: () -> Bool
    ) throws -> Answers {
        let perImage = 2 * stages.graph.classes
        let groups = program.schedule.groups
        let byThread = try walk(
            program, images, normalisation, from: nil, keeping: nil, gathering: [(block: Int, values: [Double])](),
            isCancelled: isCancelled
        ) { leaf, block, arena, parts in
            for group in 0..<groups {
                let index = block * groups + group
                let present = images.present(index)
                guard present > 0 else { break }
                let values = [Double](unsafeUninitializedCapacity: present * perImage) { buffer, filled in
                    self.kernels.answers(
                        arena.base + leaf.offset + group * self.lanes, leaf.stride, Int32(perImage / 2), Int32(present),
                        buffer.baseAddress)
                    filled = present * perImage
                }
                parts.append((index, values))
            }
        }
        let parts = byThread.joined().sorted { $0.block < $1.block }
        return Answers(images: images, normalisation: normalisation, values: parts.flatMap(\.values))
    }

    /// Walks a program for all blocks of images on all threads. At the end of each path, `leaf` adds to its thread's
    /// result, which starts as `nothing`. Returns each thread's result.
    private func walk<Result: Sendable>(
        _ program: CPUProgram, _ images: PreparedImages, _ normalisation: Normalisation,
        from start: KeptPrefix.Values?, keeping next: KeptPrefix.Values?, gathering nothing: Result,
        isCancelled: () -> Bool, leaf: (CPUProgram.Leaf, _ block: Int, Arena, inout Result) -> Void
    ) throws -> [Result] {
        let schedule = program.schedule
        let blocks = (images.blocks + schedule.groups - 1) / schedule.groups
        let arenas = try (0..<threads).map { _ in try Arena(floats: program.arenaFloats) }
        let scratch = try (0..<threads).map { _ in try Arena(floats: program.scratchFloats) }
        let nextBlock = Atomic<Int>(0)
        let cancelled = Atomic<Bool>(false)
        let results = Locked<[Result]>([])
        try onThreads(threads) { thread in
            var mine = nothing
            while true {
                if thread == 0, isCancelled() { cancelled.store(true, ordering: .relaxed) }
                if cancelled.load(ordering: .relaxed) { return }
                let block = nextBlock.add(1, ordering: .relaxed).oldValue
                guard block < blocks else { break }
                load(images, block, normalisation, from: start, schedule, arenas[thread])
                for (index, item) in program.items.enumerated() {
                    if let next, let kept = schedule.kept, kept.item == index {
                        next.save(block, from: arenas[thread], at: kept.pieces)
                    }
                    switch item {
                    case .step(let step): step.compute(kernels, arenas[thread], scratch[thread])
                    case .leaf(let end): leaf(end, block, arenas[thread], &mine)
                    }
                }
            }
            results.withLock { $0.append(mine) }
        }
        if cancelled.load(ordering: .relaxed) { throw CancellationError() }
        return results.withLock { $0 }
    }

    /// Puts a block's images, or a schedule's initial values, into an arena.
    private func load(
        _ images: PreparedImages, _ block: Int, _ normalisation: Normalisation, from start: KeptPrefix.Values?,
        _ schedule: Schedule, _ arena: Arena
    ) {
        if let start {
            start.restore(block, to: arena, at: schedule.input)
            return
        }
        images.load(block, normalisation, kernels, for: schedule, to: arena)
    }

    /// The losses at the end of a path; they count no images.
    private func evaluate(
        _ leaf: CPUProgram.Leaf, _ images: PreparedImages, _ block: Int, _ schedule: Schedule, _ arena: Arena,
        by answers: Answers?
    ) -> Evaluation {
        var sum: Int64 = 0
        var correct: Int64 = 0
        let classes = stages.graph.classes
        for group in 0..<schedule.groups {
            let index = block * schedule.groups + group
            let present = images.present(index)
            guard present > 0 else { break }
            let logits = arena.base + leaf.offset + group * lanes
            if let answers {
                answers.values.withUnsafeBufferPointer { values in
                    guard let base = values.baseAddress else { return }
                    kernels.divergences(
                        logits, leaf.stride, Int32(classes), base + 2 * classes * lanes * index, Int32(present),
                        Evaluation.imageLossMax, &sum, &correct)
                }
            } else {
                images.withLabels(index) { labels in
                    kernels.losses(
                        logits, leaf.stride, Int32(classes), labels, Int32(present), Evaluation.imageLossMax, &sum,
                        &correct)
                }
            }
        }
        return Evaluation(lossSum: sum, correct: Int(correct))
    }
}

extension winnow_kernels {
    /// Images in a vector.
    var lanesCount: Int { Int(lanes) }
}
