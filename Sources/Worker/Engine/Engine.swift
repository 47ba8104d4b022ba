import CKernels
import Foundation
import Shared
import Synchronization

/// Evaluates a network under many masks.
///
/// A mask's evaluation is the same bits whatever other masks are in the batch, on however many threads, in whatever
/// blocks of images and with whatever instruction set it is computed.
public final class Engine {
    /// The memory that an engine uses by default, besides the images that it is given: with the rest of a worker it
    /// stays under 500 MB.
    public static let memoryBytesDefault = 400 << 20

    /// The children of a node that are computed together, at most: what they share is transformed once.
    private static let branchesMax = 8

    /// Threads that compute.
    public let threads: Int
    /// The instruction set in use.
    public let instructionSet: InstructionSet
    /// The limit of the memory for parameters, images and activations.
    public let memoryBytesMax: Int

    private let network: CompiledNetwork
    private let filterCount: Int
    private let kernels: winnow_kernels
    /// The images of earlier calls, the latest used first: what was computed of them is known by their identity.
    private var prepared: [PreparedImages] = []
    private static let preparedMax = 2
    private var unmasked: Unmasked?
    /// What the last evaluation left, and of what it was made.
    private var kept: (prefix: KeptPrefix, inputs: Inputs)?
    private var common = CommonStages()
    /// The stages behind which activations are kept.
    var keptStages: Int { kept?.prefix.stages.count ?? 0 }

    /// Prepares an engine. Throws an `.unavailable` ``Failure`` where the memory is too little.
    public convenience init(network: Network, threads: Int, memoryBytesMax: Int = Engine.memoryBytesDefault) throws {
        let instructionSet = try InstructionSet.preferred()
        try self.init(
            network: network, threads: threads, memoryBytesMax: memoryBytesMax, instructionSet: instructionSet)
    }

    /// Prepares an engine that uses a given instruction set, which must be available.
    init(network: Network, threads: Int, memoryBytesMax: Int, instructionSet: InstructionSet) throws {
        precondition(threads >= 1, "an engine needs a thread")
        self.threads = threads
        self.memoryBytesMax = memoryBytesMax
        self.instructionSet = instructionSet
        kernels = instructionSet.kernels
        filterCount = FilterSpace(network.graph).count
        guard CompiledNetwork.bytes(network) <= memoryBytesMax else {
            throw Failure(
                .unavailable,
                "the network's parameters take \(CompiledNetwork.bytes(network) >> 20) MB; raise --memory-limit")
        }
        self.network = try CompiledNetwork(network)
    }

    /// The evaluations of masks, in their order.
    ///
    /// - Parameters:
    ///   - images: the images of `settings.split`, of which the first `settings.images` are evaluated.
    ///   - calibration: training images, of which the first are used; needed where batch norms are recalibrated.
    ///   - isCancelled: asked now and then, on the calling thread.
    /// - Throws: `CancellationError` where it was cancelled; a ``Failure`` where there are too few images, or too
    ///   little memory for a single mask.
    public func evaluate(
        _ masks: [Mask], images: ImageSet, calibration: ImageSet? = nil, settings: EvaluationSettings,
        isCancelled: () -> Bool = { false }
    ) throws -> [Evaluation] {
        precondition(masks.allSatisfy { $0.count == filterCount }, "the masks must be of the network's filters")
        if masks.isEmpty { return [] }
        try check(images, has: settings.images, what: "images to evaluate", settings.normalisation)
        guard settings.images <= Evaluation.imagesMax else {
            throw Failure(.badInput, "at most \(Evaluation.imagesMax) images can be evaluated")
        }
        let evaluated = prepare(images, count: settings.images)
        var calibrating: CalibrationInputs?
        if settings.batchNorm != .frozen, case .residual = network.graph {
            guard let calibration else {
                throw Failure(.badInput, "\(settings.batchNorm.source.rawValue) batch norms need training images")
            }
            calibrating = try prepare(calibration, settings.batchNorm, settings.normalisation, isCancelled)
        }
        let inputs = Inputs(
            images: evaluated, calibration: calibrating, batchNorm: settings.batchNorm,
            normalisation: settings.normalisation)
        return try evaluate(masks, inputs, isCancelled)
    }

    /// The running statistics that a network has under a mask, `[layer][filter]` in the order of the filter space: what
    /// is evaluated with frozen batch norms is then what this source of statistics gives. Filters that the mask disables
    /// keep theirs. Empty for a fully connected network and for frozen batch norms.
    ///
    /// Throws `CancellationError` where it was cancelled; a ``Failure`` where there are too few images, or too little
    /// memory for them.
    func batchNormStatistics(
        _ batchNorm: EvaluationSettings.BatchNorm, under mask: Mask, of images: ImageSet, normalisation: Normalisation,
        isCancelled: () -> Bool = { false }
    ) throws -> [[ChannelStatistics]] {
        guard case .residual = network.graph, batchNorm != .frozen else { return [] }
        let inputs = try prepare(images, batchNorm, normalisation, isCancelled)
        return try statistics(inputs, normalisation, under: mask, hasOwnNorms: true, isCancelled) {
            inputs.statistics($0, $1, $2, of: self.network)
        }
    }

    /// What masks are evaluated on.
    private struct Inputs {
        let images: PreparedImages
        let calibration: CalibrationInputs?
        let batchNorm: EvaluationSettings.BatchNorm
        let normalisation: Normalisation

        /// Whether activations of the others are those of these.
        func agree(with other: Inputs) -> Bool {
            images === other.images && calibration?.images === other.calibration?.images
                && batchNorm == other.batchNorm && normalisation == other.normalisation
        }
    }

    /// What batch-norm statistics are taken from.
    private struct CalibrationInputs {
        let images: PreparedImages
        /// The statistics of these images in the network as it is, where the running ones are corrected.
        var unmasked: [[ChannelStatistics]]?

        /// The statistics that a batch norm uses where these were measured.
        func statistics(
            _ layer: Int, _ filter: Int, _ measured: ChannelStatistics, of network: CompiledNetwork
        ) -> ChannelStatistics {
            guard let unmasked else { return measured }
            return network.layers[layer].running[filter].corrected(from: unmasked[layer][filter], to: measured)
        }
    }

    private func check(_ images: ImageSet, has count: Int, what: String, _ normalisation: Normalisation) throws {
        try images.check(fits: network.graph)
        try images.check(normalisation)
        guard count <= images.count else {
            throw Failure(.badInput, "there are \(images.count) \(what), not \(count)")
        }
    }

    private func prepare(_ images: ImageSet, count: Int) -> PreparedImages {
        let known = prepared.firstIndex { $0.count == count && $0.source == images }
        let found =
            known.map { prepared.remove(at: $0) } ?? PreparedImages(images, count: count, lanes: kernels.lanesCount)
        prepared = [found] + prepared.prefix(Self.preparedMax - 1)
        return found
    }

    private func prepare(
        _ calibration: ImageSet, _ batchNorm: EvaluationSettings.BatchNorm, _ normalisation: Normalisation,
        _ isCancelled: () -> Bool
    ) throws -> CalibrationInputs {
        guard let count = batchNorm.calibrationImages, count > 0 else {
            throw Failure(.badInput, "there must be at least one calibration image")
        }
        try check(calibration, has: count, what: "calibration images", normalisation)
        var inputs = CalibrationInputs(images: prepare(calibration, count: count))
        guard batchNorm.source == .corrected else { return inputs }
        if let known = unmasked, known.images === inputs.images, known.normalisation == normalisation {
            inputs.unmasked = known.statistics
        } else {
            let none = Mask(count: filterCount)
            let measured = try statistics(inputs, normalisation, under: none, hasOwnNorms: false, isCancelled) { $2 }
            unmasked = Unmasked(images: inputs.images, normalisation: normalisation, statistics: measured)
            inputs.unmasked = measured
        }
        return inputs
    }

    /// The statistics of images in the unmasked network, kept as long as the images are.
    private struct Unmasked {
        weak var images: PreparedImages?
        let normalisation: Normalisation
        let statistics: [[ChannelStatistics]]
    }

    /// What `choose` makes of the statistics of every channel under a mask. Batch norms use these where they have norms
    /// of their own, otherwise the running ones.
    private func statistics(
        _ inputs: CalibrationInputs, _ normalisation: Normalisation, under mask: Mask, hasOwnNorms: Bool,
        _ isCancelled: () -> Bool,
        choose: @escaping (_ layer: Int, _ filter: Int, _ measured: ChannelStatistics) -> ChannelStatistics
    ) throws -> [[ChannelStatistics]] {
        let images = inputs.images
        let storage = Storage()
        let tree = PrefixTree([mask], of: network.graph, network.graph)
        let available = memoryBytesMax - network.bytes
        guard
            let schedule = schedule(
                tree, copies: images.blocks, isCalibration: true, hasOwnNorms: hasOwnNorms, available, storage)
        else {
            throw Failure(
                .unavailable,
                "\(memoryBytesMax >> 20) MB are too little memory for \(images.count) calibration images; "
                    + "raise --memory-limit, or use fewer images")
        }
        var statistics = network.layers.filter { !$0.running.isEmpty }.map(\.running)
        try calibrate(schedule, images, normalisation, isCancelled) { layer, filter, measured in
            let chosen = choose(layer, filter, measured)
            statistics[layer][filter] = chosen
            return hasOwnNorms ? chosen : nil
        }
        return statistics
    }

    /// Evaluates all masks in one tree where memory allows it, otherwise in halves.
    private func evaluate(
        _ masks: [Mask], _ inputs: Inputs, _ isCancelled: () -> Bool
    ) throws -> [Evaluation] {
        let tree = PrefixTree(masks, of: self.network.graph, network.graph)
        let keptStages = prepareToKeep(tree, inputs)
        var planned = plan(tree, inputs, keptStages)
        if planned == nil, kept != nil {
            kept = nil
            planned = plan(tree, inputs, keptStages)
        }
        guard let (evaluation, calibration) = planned else {
            guard masks.count > 1 else {
                throw Failure(
                    .unavailable,
                    "\(memoryBytesMax >> 20) MB are too little memory for one mask on \(threads) threads; "
                        + "raise --memory-limit, or use fewer threads or images")
            }
            let middle = masks.count / 2
            return try evaluate(Array(masks[..<middle]), inputs, isCancelled)
                + evaluate(Array(masks[middle...]), inputs, isCancelled)
        }
        let next = try memoryToKeep(tree, evaluation, calibration, inputs)
        if let calibrating = inputs.calibration {
            try calibrate(
                calibration, calibrating.images, inputs.normalisation, from: kept?.prefix.calibration,
                keeping: next?.calibration, isCancelled
            ) { calibrating.statistics($0, $1, $2, of: self.network) }
        }
        let result = try run(
            evaluation, inputs, from: kept?.prefix.evaluated, keeping: next?.evaluated, count: masks.count, isCancelled)
        if let next { kept = (next, inputs) }
        return result
    }

    /// The schedules for the images to evaluate and for those to calibrate with; nil where the memory is too little.
    private func plan(
        _ tree: PrefixTree, _ inputs: Inputs, _ keptStages: Int
    ) -> (evaluation: Schedule, calibration: Schedule)? {
        let storage = Storage()
        let available = memoryBytesMax - network.bytes - (kept?.prefix.bytes ?? 0)
        let hasOwnNorms = inputs.calibration != nil
        guard
            let evaluation = schedule(
                tree, copies: threads, isCalibration: false, hasOwnNorms: hasOwnNorms, available, storage,
                start: kept?.prefix.evaluated.start, keptStages: keptStages),
            let calibration = schedule(
                tree, copies: inputs.calibration?.images.blocks ?? 0, isCalibration: true, hasOwnNorms: hasOwnNorms,
                available, storage, start: kept?.prefix.calibration?.start, keptStages: keptStages)
        else { return nil }
        return (evaluation, calibration)
    }

    /// A schedule whose arenas fit the memory, with as many branches together as that allows; or nil.
    private func schedule(
        _ tree: PrefixTree, copies: Int, isCalibration: Bool, hasOwnNorms: Bool, _ available: Int, _ storage: Storage,
        start: Schedule.Start? = nil, keptStages: Int = 0
    ) -> Schedule? {
        var branches = Self.branchesMax
        while branches >= 1 {
            let options = Schedule.Options(
                lanes: kernels.lanesCount, branchesMax: branches, isCalibration: isCalibration,
                hasOwnNorms: hasOwnNorms, start: start, keptStages: keptStages)
            let schedule = Schedule(network, tree, options, storage: storage)
            if arenaBytes(schedule, copies) + storage.bytes <= available { return schedule }
            branches /= 2
        }
        return nil
    }

    private func arenaBytes(_ schedule: Schedule, _ copies: Int) -> Int {
        (copies * schedule.arenaFloats + threads * schedule.scratchFloats) * MemoryLayout<Float>.stride
    }

    // MARK: - What is kept for the next masks

    /// Lets go of what these masks cannot go on from. Returns the stages behind which activations are worth keeping, as
    /// they are not kept yet; 0 for none.
    private func prepareToKeep(_ tree: PrefixTree, _ inputs: Inputs) -> Int {
        guard case .residual = network.graph, let end = tree.trunk.last else { return 0 }
        let stages = tree.stages(at: end)
        if let old = kept, !old.inputs.agree(with: inputs) || !stages.starts(with: old.prefix.stages) { kept = nil }
        // The stem alone costs less than its activations' way to memory and back; behind the last stage nothing is left.
        let worth = min(common.expected(after: stages), tree.stageCount - 1)
        return worth > max(1, kept?.prefix.stages.count ?? 0) ? worth : 0
    }

    /// Memory for what a schedule wants to keep, where there is as much: a quarter of the limit at most.
    private func memoryToKeep(
        _ tree: PrefixTree, _ evaluation: Schedule, _ calibration: Schedule, _ inputs: Inputs
    ) throws -> KeptPrefix? {
        guard let behind = evaluation.kept else { return nil }
        let stages = tree.stages(at: tree.trunk[evaluation.options.keptStages])
        let calibrationBlocks = inputs.calibration?.images.blocks ?? 0
        let floats =
            inputs.images.blocks * behind.buffer.range.count
            + calibrationBlocks * (calibration.kept?.buffer.range.count ?? 0)
        let bytes = floats * MemoryLayout<Float>.stride
        let arenas = max(arenaBytes(evaluation, threads), arenaBytes(calibration, calibrationBlocks))
        guard bytes <= memoryBytesMax / 4,
            network.bytes + (kept?.prefix.bytes ?? 0) + arenas + bytes <= memoryBytesMax
        else { return nil }
        return KeptPrefix(
            stages: stages,
            evaluated: try KeptPrefix.Activations(
                behind.buffer.start(stages: stages.count), blocks: inputs.images.blocks),
            calibration: try calibration.kept.flatMap {
                calibrationBlocks > 0
                    ? try KeptPrefix.Activations($0.buffer.start(stages: stages.count), blocks: calibrationBlocks) : nil
            })
    }

    private func calibrate(
        _ schedule: Schedule, _ images: PreparedImages, _ normalisation: Normalisation,
        from start: KeptPrefix.Activations? = nil, keeping next: KeptPrefix.Activations? = nil,
        _ isCancelled: () -> Bool,
        choose: @escaping (_ layer: Int, _ filter: Int, _ measured: ChannelStatistics) -> ChannelStatistics?
    ) throws {
        let calibration = Calibration(
            schedule: schedule, kernels: kernels, images: images,
            arenas: try (0..<images.blocks).map { _ in try Arena(floats: schedule.arenaFloats) },
            load: { self.load(images, $0, normalisation, from: start, schedule, $1) },
            keep: { block, arena in
                if let next, let kept = schedule.kept { next.save(block, from: arena, at: kept.buffer.offset) }
            },
            choose: choose)
        let scratch = try (0..<threads).map { _ in try Arena(floats: schedule.scratchFloats) }
        guard try calibration.run(scratch: scratch, isCancelled: isCancelled) else { throw CancellationError() }
    }

    /// Puts the block's images, or the activations that a schedule starts from, into an arena.
    private func load(
        _ images: PreparedImages, _ block: Int, _ normalisation: Normalisation, from start: KeptPrefix.Activations?,
        _ schedule: Schedule, _ arena: Arena
    ) {
        if let start {
            start.restore(block, to: arena, at: schedule.input.offset)
            return
        }
        let lanes = kernels.lanesCount
        let shape = images.source.layout.shape
        for group in 0..<schedule.groups {
            let index = block * schedule.groups + group
            guard index < images.blocks else { break }
            for channel in 0..<shape.channels {
                let target: Int
                let stride: Int
                if schedule.groups == 1 {
                    target = schedule.input.offset + channel * schedule.input.plane
                    stride = lanes
                } else {
                    target = schedule.input.offset + channel * shape.pixels * schedule.input.plane + group * lanes
                    stride = schedule.input.plane
                }
                images.load(index, channel: channel, normalisation, kernels, to: arena.base + target, stride: stride)
            }
        }
    }

    private func run(
        _ schedule: Schedule, _ inputs: Inputs, from start: KeptPrefix.Activations?,
        keeping keptNext: KeptPrefix.Activations?, count: Int, _ isCancelled: () -> Bool
    ) throws -> [Evaluation] {
        let images = inputs.images
        let blocks = (images.blocks + schedule.groups - 1) / schedule.groups
        let arenas = try (0..<threads).map { _ in try Arena(floats: schedule.arenaFloats) }
        let scratch = try (0..<threads).map { _ in try Arena(floats: schedule.scratchFloats) }
        let next = Atomic<Int>(0)
        let cancelled = Atomic<Bool>(false)
        let results = Locked([Evaluation](repeating: Evaluation(images: images.count), count: count))
        try onThreads(threads) { thread in
            var mine = [Evaluation](repeating: Evaluation(), count: count)
            while true {
                if thread == 0, isCancelled() { cancelled.store(true, ordering: .relaxed) }
                if cancelled.load(ordering: .relaxed) { return }
                let block = next.add(1, ordering: .relaxed).oldValue
                guard block < blocks else { break }
                load(images, block, inputs.normalisation, from: start, schedule, arenas[thread])
                for (index, item) in schedule.items.enumerated() {
                    if let keptNext, let kept = schedule.kept, kept.item == index {
                        keptNext.save(block, from: arenas[thread], at: kept.buffer.offset)
                    }
                    switch item {
                    case .step(let step):
                        kernels.layer(step.description, arenas[thread].base, scratch[thread].base)
                    case .leaf(let leaf):
                        let evaluation = evaluate(leaf, images, block, schedule, arenas[thread], scratch[thread])
                        for mask in leaf.masks { mine[mask] = mine[mask] + evaluation }
                    }
                }
            }
            results.withLock { all in
                for (index, evaluation) in mine.enumerated() { all[index] = all[index] + evaluation }
            }
        }
        if cancelled.load(ordering: .relaxed) { throw CancellationError() }
        return results.withLock { $0 }
    }

    /// The losses at the end of a path; they count no images.
    private func evaluate(
        _ leaf: Schedule.Leaf, _ images: PreparedImages, _ block: Int, _ schedule: Schedule, _ arena: Arena,
        _ scratch: Arena
    ) -> Evaluation {
        leaf.computeOutputs(kernels, arena, scratch)
        var sum: Int64 = 0
        var correct: Int64 = 0
        for group in 0..<schedule.groups {
            let index = block * schedule.groups + group
            let present = images.present(index)
            guard present > 0 else { break }
            images.withLabels(index) { labels in
                kernels.losses(
                    arena.base + leaf.outputs + group * kernels.lanesCount, leaf.plane,
                    Int32(network.graph.classes), labels, Int32(present), Evaluation.imageLossMax, &sum, &correct
                )
            }
        }
        return Evaluation(lossSum: sum, correct: Int(correct))
    }
}

extension Schedule.Leaf {
    /// Computes the outputs from the activations that the path left in the arena.
    func computeOutputs(_ kernels: winnow_kernels, _ arena: Arena, _ scratch: Arena) {
        if let pool {
            kernels.pool(
                arena.base + pool.source, pool.plane, Int32(pool.size), pool.slots, Int32(pool.count),
                arena.base + pool.target)
        }
        kernels.layer(linear, arena.base, scratch.base)
    }
}
