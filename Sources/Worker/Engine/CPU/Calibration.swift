import CKernels
import Shared
import Synchronization

/// One pass of the calibration images through a tree of masks, stage by stage, which leaves the norms' scales and
/// shifts in the tree's nodes.
///
/// Every block of images has its own arena, since a stage's statistics need all of them. Sums are kept per image and
/// added in the images' order, so the result depends neither on threads nor on the instruction set.
struct Calibration {
    let program: CPUProgram
    let network: CompiledNetwork
    let kernels: winnow_kernels
    let images: PreparedImages
    let arenas: [Arena]
    /// Puts the images, or the schedule's initial values, into an arena.
    let load: (_ block: Int, _ arena: Arena) -> Void
    /// Receives the values that the schedule keeps, from every block's arena.
    let keep: (_ block: Int, _ arena: Arena) -> Void
    /// Receives the statistics of every measured channel, from one thread at a time; returns the scale and shift for
    /// its norm, or nil to keep them.
    let norm: (_ stage: Int, _ channel: Int, _ measured: ChannelStatistics) -> (scale: Float, shift: Float)?

    /// Steps that a block can do without waiting for the others: up to one whose statistics are taken.
    private struct Phase {
        var steps: [(item: Int, step: CPUProgram.Step)] = []
    }

    /// Runs it with a scratch arena per thread. Returns false if it was cancelled; throws a ``Failure`` if there are no
    /// threads.
    func run(scratch: [Arena], isCancelled: () -> Bool) throws -> Bool {
        let phases = phases
        let storage = Storage()
        let blocks = images.blocks
        let measured = phases.compactMap(\.steps.last?.step)
        let branchesMax = measured.map(\.outputs.count).max() ?? 1
        let channelsMax = measured.map { network.stages.list[$0.stage].shape.channels }.max() ?? 1
        let sumsOfBlock = channelsMax * 2 * kernels.lanesCount
        let sums = storage.make(branchesMax * blocks * sumsOfBlock, of: Double.self)
        let barrier = Barrier(threads: scratch.count)
        let next = Atomic<Int>(0)
        let cancelled = Atomic<Bool>(false)
        let stopped = Atomic<Bool>(false)

        try onThreads(scratch.count) { thread in
            var previous: CPUProgram.Step?
            for phase in phases {
                guard let last = phase.steps.last?.step else { return }
                if thread == 0, isCancelled() { cancelled.store(true, ordering: .relaxed) }
                while true {
                    let block = next.add(1, ordering: .relaxed).oldValue
                    guard block < blocks else { break }
                    if let previous { normalise(previous, arenas[block]) } else { load(block, arenas[block]) }
                    for (item, step) in phase.steps {
                        if item == program.schedule.kept?.item { keep(block, arenas[block]) }
                        step.compute(kernels, arenas[block], scratch[thread])
                    }
                    for branch in last.outputs.indices {
                        measure(last, branch, arenas[block], sums + (branch * blocks + block) * sumsOfBlock)
                    }
                }
                barrier.wait {
                    for branch in last.outputs.indices {
                        combine(sums + branch * blocks * sumsOfBlock, sumsOfBlock, last, branch)
                    }
                    next.store(0, ordering: .relaxed)
                    stopped.store(cancelled.load(ordering: .relaxed), ordering: .relaxed)
                }
                if stopped.load(ordering: .relaxed) { return }
                previous = last
            }
        }
        return !stopped.load(ordering: .relaxed)
    }

    /// The program in phases. Steps after the last statistics affect none, so they are dropped.
    private var phases: [Phase] {
        var phases: [Phase] = []
        var open = Phase()
        for (index, item) in program.items.enumerated() {
            guard case .step(let step) = item else { continue }
            open.steps.append((index, step))
            if step.isRaw {
                phases.append(open)
                open = Phase()
            }
        }
        return phases
    }

    private func pixels(_ step: CPUProgram.Step) -> Int { network.stages.list[step.stage].shape.pixels }

    private func measure(
        _ step: CPUProgram.Step, _ branch: Int, _ arena: Arena, _ sums: UnsafeMutablePointer<Double>
    ) {
        for part in step.outputs[branch].parts {
            kernels.statistics(
                part.description, arena.base, Int32(pixels(step)), sums + part.first * 2 * kernels.lanesCount)
        }
    }

    /// Applies norm, sum and activation to a step's raw output.
    private func normalise(_ step: CPUProgram.Step, _ arena: Arena) {
        let shape = network.stages.list[step.stage].shape
        let size = winnow_extent(height: Int32(shape.height), width: Int32(shape.width))
        for (parts, _) in step.outputs {
            for part in parts { kernels.normalise(part.description, arena.base, size) }
        }
    }

    /// Mean and population variance over images and pixels, which determine scale and shift.
    private func combine(_ sums: UnsafePointer<Double>, _ stride: Int, _ step: CPUProgram.Step, _ branch: Int) {
        let bias = network[step.stage].bias
        let values = Double(images.count * pixels(step))
        let lanes = kernels.lanesCount
        let (parts, own) = step.outputs[branch]
        for part in parts {
            for index in 0..<Int(part.description.pointee.count) {
                var sum = 0.0
                var squares = 0.0
                for block in 0..<images.blocks {
                    let first = sums + block * stride + (part.first + index) * 2 * lanes
                    for lane in 0..<images.present(block) {
                        sum += first[lane]
                        squares += first[lanes + lane]
                    }
                }
                let mean = sum / values
                let channel = part.first + Int(part.description.pointee.channels[index])
                // The sums are of the layer's output before its bias.
                let measured = ChannelStatistics(
                    mean: bias.isEmpty ? mean : mean + Double(bias[channel]),
                    variance: max(0, squares / values - mean * mean))
                guard let (scale, shift) = norm(step.stage, channel, measured), let own else { continue }
                own.scale[channel] = scale
                own.shift[channel] = shift
            }
        }
    }
}
