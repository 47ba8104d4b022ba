import CKernels
import Shared
import Synchronization

/// One pass of the calibration images through a tree of masks, layer by layer, which leaves the batch norms' scales and
/// shifts in the tree's nodes.
///
/// Every block of images has its own arena, since a layer's statistics need all of them. Sums are kept for every image
/// and added in the images' order, so the result depends neither on threads nor on the instruction set.
struct Calibration {
    let schedule: Schedule
    let kernels: winnow_kernels
    let images: PreparedImages
    let arenas: [Arena]
    /// Puts the images, or the activations that the schedule starts from, into an arena.
    let load: (_ block: Int, _ arena: Arena) -> Void
    /// Where the schedule keeps activations gets them from every block's arena.
    let keep: (_ block: Int, _ arena: Arena) -> Void
    /// Told the statistics of every filter of every layer, by one thread at a time; returns those that its batch norm
    /// shall use, or nil where it keeps what it has.
    let choose: (_ layer: Int, _ filter: Int, _ measured: ChannelStatistics) -> ChannelStatistics?

    /// Bytes of the sums of one branch with so many filters.
    static func sumBytes(filters: Int, images: Int, lanes: Int) -> Int {
        filters * 2 * (images + lanes) * MemoryLayout<Double>.stride
    }

    /// Runs it with a scratch arena for every thread. Returns false where it was cancelled; throws a ``Failure``
    /// where there are no threads.
    func run(scratch: [Arena], isCancelled: () -> Bool) throws -> Bool {
        let storage = Storage()
        let steps = schedule.items.compactMap { item -> Schedule.Step? in
            if case .step(let step) = item { step } else { nil }
        }
        let blocks = images.blocks
        let branchesMax = steps.map(\.norms.count).max() ?? 1
        let filtersMax = schedule.network.layers.map(\.filters).max() ?? 1
        let sumsOfBlock = filtersMax * 2 * kernels.lanesCount
        let sums = storage.make(branchesMax * blocks * sumsOfBlock, of: Double.self)
        let barrier = Barrier(threads: scratch.count)
        let next = Atomic<Int>(0)
        let cancelled = Atomic<Bool>(false)
        let stopped = Atomic<Bool>(false)

        try onThreads(scratch.count) { thread in
            var previous: Schedule.Step?
            for (index, step) in steps.enumerated() {
                if thread == 0, isCancelled() { cancelled.store(true, ordering: .relaxed) }
                while true {
                    let block = next.add(1, ordering: .relaxed).oldValue
                    guard block < blocks else { break }
                    let arena = arenas[block].base
                    if let previous {
                        apply(previous, arena)
                    } else {
                        load(block, arenas[block])
                    }
                    if index == schedule.kept?.item { keep(block, arenas[block]) }
                    kernels.layer(step.description, arena, scratch[thread].base)
                    for branch in 0..<step.norms.count {
                        kernels.statistics(
                            step.description.pointee.branches + branch, arena, step.description.pointee.output_plane,
                            Int32(schedule.network.layers[step.layer].outputSize),
                            sums + (branch * blocks + block) * sumsOfBlock)
                    }
                }
                barrier.wait {
                    for branch in 0..<step.norms.count {
                        combine(sums + branch * blocks * sumsOfBlock, sumsOfBlock, step, branch)
                    }
                    next.store(0, ordering: .relaxed)
                    stopped.store(cancelled.load(ordering: .relaxed), ordering: .relaxed)
                }
                if stopped.load(ordering: .relaxed) { return }
                previous = step
            }
        }
        return !stopped.load(ordering: .relaxed)
    }

    /// Batch norm, shortcut and ReLU of what a step left raw.
    private func apply(_ step: Schedule.Step, _ arena: UnsafeMutablePointer<Float>) {
        let size = Int32(schedule.network.layers[step.layer].outputSize)
        for branch in 0..<step.norms.count {
            kernels.normalise(
                step.description.pointee.branches + branch, arena, step.description.pointee.output_plane, size)
        }
    }

    /// Mean and population variance over images and pixels, from which scale and shift follow.
    private func combine(_ sums: UnsafePointer<Double>, _ stride: Int, _ step: Schedule.Step, _ branch: Int) {
        let layer = schedule.network.layers[step.layer]
        let description = step.description.pointee.branches[branch]
        let values = Double(images.count * layer.outputSize * layer.outputSize)
        let lanes = kernels.lanesCount
        for index in 0..<Int(description.filter_count) {
            var sum = 0.0
            var squares = 0.0
            for block in 0..<images.blocks {
                let first = sums + block * stride + 2 * index * lanes
                for lane in 0..<images.present(block) {
                    sum += first[lane]
                    squares += first[lanes + lane]
                }
            }
            let mean = sum / values
            let filter = Int(description.filters[index])
            let measured = ChannelStatistics(mean: mean, variance: max(0, squares / values - mean * mean))
            guard let chosen = choose(step.layer, filter, measured) else { continue }
            let (scale, shift) = batchNorm(layer.gain[filter], layer.offset[filter], chosen)
            step.norms[branch].scale[filter] = scale
            step.norms[branch].shift[filter] = shift
        }
    }
}

extension winnow_kernels {
    /// Images in a vector.
    var lanesCount: Int { Int(lanes) }
}
