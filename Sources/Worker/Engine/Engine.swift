import Foundation
import Shared

/// Evaluates a network under many masks.
///
/// A mask's evaluation has the same bits for any other masks in the batch, any number of threads, any blocks of images
/// and any instruction set.
public final class Engine {
    /// The default limit on an engine's memory, besides the images given to it: an eighth of the machine's, from 400
    /// MB, enough for small images, to 2 GB.
    public static let memoryBytesDefault = min(
        max(Int(clamping: ProcessInfo.processInfo.physicalMemory) / 8, 400 << 20), 2 << 30)

    /// The most children of a node to compute together: what they share is transformed once.
    private static let branchesMax = 8

    /// Threads that compute.
    public let threads: Int
    /// The instruction set in use.
    public let instructionSet: InstructionSet
    /// The limit of the memory for parameters, images and activations.
    public let memoryBytesMax: Int

    private let chains: Chain.Rule
    private let backend: CPUBackend
    private let network: CompiledNetwork
    private let filterCount: Int
    /// The images of earlier calls, the latest used first.
    private var prepared: [PreparedImages] = []
    private static let preparedMax = 2
    private var unmasked: Unmasked?
    /// The unmasked network's answers to images of an earlier call.
    private var answers: Answers?
    /// The values that the last evaluation kept, and their inputs.
    private var kept: (prefix: KeptPrefix, inputs: Inputs)?
    private var common = CommonCuts()
    /// The cuts after which values are kept.
    var keptCuts: Int { kept?.prefix.cuts.count ?? 0 }

    /// Prepares an engine. Throws a ``Failure`` if the network's parameters exceed the memory.
    public convenience init(network: Network, threads: Int, memoryBytesMax: Int = Engine.memoryBytesDefault) throws {
        let instructionSet = try InstructionSet.preferred()
        try self.init(
            network: network, threads: threads, memoryBytesMax: memoryBytesMax, instructionSet: instructionSet)
    }

    /// Prepares an engine that uses a given instruction set, which must be available.
    init(
        network: Network, threads: Int, memoryBytesMax: Int, instructionSet: InstructionSet,
        chains: Chain.Rule = Chain.Rule()
    ) throws {
        precondition(threads >= 1, "an engine needs a thread")
        self.threads = threads
        self.memoryBytesMax = memoryBytesMax
        self.instructionSet = instructionSet
        self.chains = chains
        filterCount = FilterSpace(network.graph).count
        guard CompiledNetwork.bytes(network) <= memoryBytesMax else {
            throw Failure(
                .unavailable,
                "the network's parameters take \(CompiledNetwork.bytes(network) >> 20) MB; raise --memory-limit")
        }
        backend = try CPUBackend(network, instructionSet: instructionSet, threads: threads)
        self.network = backend.network
    }

    /// The evaluations of masks, in their order.
    ///
    /// - Parameters:
    ///   - images: the images of `settings.split`, of which the first `settings.images` are evaluated.
    ///   - calibration: training images, of which the first are used; needed to recalibrate batch norms.
    ///   - isCancelled: asked now and then, on the calling thread.
    /// - Throws: `CancellationError` if it was cancelled; a ``Failure`` if there are too few images, or too little
    ///   memory for a single mask.
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
        if !backend.measured(settings.batchNorm.source).isEmpty {
            guard let calibration else {
                throw Failure(.badInput, "\(settings.batchNorm.source.rawValue) batch norms need training images")
            }
            calibrating = try prepare(calibration, settings.batchNorm, settings.normalisation, isCancelled)
        }
        let inputs = Inputs(
            images: evaluated, answers: try answers(to: evaluated, settings, isCancelled), calibration: calibrating,
            batchNorm: settings.batchNorm, normalisation: settings.normalisation)
        return try evaluate(masks, inputs, isCancelled)
    }

    /// The network whose frozen norms equal the norms by statistics of images under a mask: batch norms with other
    /// running statistics, and layers without one with the correction in their weights and biases. Disabled channels
    /// stay as they are. For frozen norms, the same network.
    ///
    /// Throws `CancellationError` if it was cancelled; a ``Failure`` if there are too few images, or too little memory
    /// for them.
    func recalibrated(
        _ original: Network, _ batchNorm: EvaluationSettings.BatchNorm, under mask: Mask, of images: ImageSet,
        normalisation: Normalisation, isCancelled: () -> Bool = { false }
    ) throws -> Network {
        let measured = backend.measured(batchNorm.source)
        if measured.isEmpty { return original }
        let inputs = try prepare(images, batchNorm, normalisation, isCancelled)
        let statistics = try statistics(inputs, batchNorm, normalisation, under: mask, hasOwnNorms: true, isCancelled)
        var changes = NetworkChanges(original)
        for stage in measured.sorted() {
            let layer = network[stage]
            let node = network.stages.list[stage]
            for (channel, now) in statistics[stage].enumerated() {
                guard let now else { continue }
                switch layer.rule {
                case .batchNorm(_, _, let running, let epsilon):
                    guard let norm = node.norm else { continue }
                    changes.setStatistics(
                        norm, channel: channel,
                        inputs.statistics(stage, channel, now, running: running[channel], epsilon: epsilon))
                case .restored:
                    guard let before = inputs.unmasked?[stage][channel] else { continue }
                    let bias = layer.bias.isEmpty ? 0 : layer.bias[channel]
                    let (scale, shift) = restoring(before, from: now, bias: bias)
                    changes.setOutput(node.node, filter: channel, scale: scale, shift: shift)
                case nil: continue
                }
            }
        }
        return try changes.network()
    }

    /// What masks are evaluated on.
    private struct Inputs {
        let images: PreparedImages
        /// What to evaluate them by, if not the images' labels.
        let answers: Answers?
        let calibration: CalibrationInputs?
        let batchNorm: EvaluationSettings.BatchNorm
        let normalisation: Normalisation

        /// Whether values of the others are those of these.
        func agree(with other: Inputs) -> Bool {
            images === other.images && calibration?.images === other.calibration?.images
                && batchNorm == other.batchNorm && normalisation == other.normalisation
        }
    }

    /// The statistics of every channel of each measured stage; nil for a channel that was not computed.
    private typealias Statistics = [[ChannelStatistics?]]

    /// What statistics are taken from.
    private struct CalibrationInputs {
        let images: PreparedImages
        /// These images' statistics in the unmasked network, to correct the running ones.
        var unmasked: Statistics?

        /// The statistics that a batch norm uses, given the measured ones.
        func statistics(
            _ stage: Int, _ channel: Int, _ measured: ChannelStatistics, running: ChannelStatistics, epsilon: Double
        ) -> ChannelStatistics {
            guard let unmasked, let before = unmasked[stage][channel] else { return measured }
            return running.corrected(from: before, to: measured, epsilon: epsilon)
        }

        /// The norm of a channel, given the measured statistics; nil to leave it unchanged.
        func norm(
            _ stage: Int, _ channel: Int, _ measured: ChannelStatistics, of network: CompiledNetwork
        ) -> (scale: Float, shift: Float)? {
            let layer = network[stage]
            let bias = layer.bias.isEmpty ? 0 : layer.bias[channel]
            switch layer.rule {
            case .batchNorm(let gain, let offset, let running, let epsilon):
                let chosen = statistics(stage, channel, measured, running: running[channel], epsilon: epsilon)
                return batchNorm(gain[channel], offset[channel], chosen, epsilon: epsilon, bias: bias)
            case .restored:
                guard let before = unmasked?[stage][channel] else { return nil }
                let (scale, shift) = restoring(before, from: measured, bias: bias)
                return (Float(scale), Float(shift))
            case nil: return nil
            }
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
            known.map { prepared.remove(at: $0) } ?? PreparedImages(images, count: count, lanes: backend.lanes)
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
            let measured = try statistics(
                inputs, batchNorm, normalisation, under: none, hasOwnNorms: false, isCancelled)
            unmasked = Unmasked(images: inputs.images, normalisation: normalisation, statistics: measured)
            inputs.unmasked = measured
        }
        return inputs
    }

    /// The unmasked network's outputs for images, with its own statistics, if masks are evaluated by them.
    private func answers(
        to images: PreparedImages, _ settings: EvaluationSettings, _ isCancelled: () -> Bool
    ) throws -> Answers? {
        guard settings.labels == .network else { return nil }
        if let answers, answers.images === images, answers.normalisation == settings.normalisation { return answers }
        answers = nil
        let bytes = Answers.bytes(images: images.count, classes: network.graph.classes)
        let program = backend.program(
            Schedule(
                network.stages, tree([Mask(count: filterCount)]),
                Schedule.Options(branchesMax: 1, isCalibration: false)), storage: Storage())
        let total = backend.parameterBytes + bytes + backend.bytes(program, copies: threads)
        guard total <= memoryBytesMax else {
            throw Failure(
                .unavailable,
                "the network's outputs for \(images.count) images take \(total >> 20) MB; raise "
                    + "--memory-limit, or use fewer images")
        }
        answers = try backend.answers(program, images, settings.normalisation, isCancelled: isCancelled)
        return answers
    }

    /// The statistics of images in the unmasked network, cached as long as the images are the same.
    private struct Unmasked {
        weak var images: PreparedImages?
        let normalisation: Normalisation
        let statistics: Statistics
    }

    /// The statistics of every channel under a mask. Norms that have their own use these, the others the network's.
    private func statistics(
        _ inputs: CalibrationInputs, _ batchNorm: EvaluationSettings.BatchNorm, _ normalisation: Normalisation,
        under mask: Mask, hasOwnNorms: Bool, _ isCancelled: () -> Bool
    ) throws -> Statistics {
        let images = inputs.images
        let measured = backend.measured(batchNorm.source)
        let options = Schedule.Options(
            branchesMax: 1, isCalibration: true, measured: measured, ownNorms: hasOwnNorms ? measured : [])
        let program = backend.program(Schedule(network.stages, tree([mask]), options), storage: Storage())
        let bytes = backend.bytes(program, copies: images.blocks)
        guard bytes <= memoryBytesMax - backend.parameterBytes else {
            throw Failure(
                .unavailable,
                "\(images.count) calibration images take \((bytes + backend.parameterBytes) >> 20) MB; raise "
                    + "--memory-limit, or use fewer images")
        }
        let network = network
        let result = Locked(
            network.stages.list.map { [ChannelStatistics?](repeating: nil, count: $0.shape.channels) })
        try backend.calibrate(
            program, images, normalisation, from: nil, keeping: nil, isCancelled: isCancelled
        ) { stage, channel, statistics in
            result.withLock { $0[stage][channel] = statistics }
            return hasOwnNorms ? inputs.norm(stage, channel, statistics, of: network) : nil
        }
        return result.withLock { $0 }
    }

    private func tree(_ masks: [Mask]) -> PrefixTree {
        PrefixTree(masks, of: network.stages.space, cuts: network.stages.layersByCut)
    }

    /// Evaluates all masks in one tree if memory allows it, otherwise in halves.
    private func evaluate(
        _ masks: [Mask], _ inputs: Inputs, _ isCancelled: () -> Bool
    ) throws -> [Evaluation] {
        let tree = tree(masks)
        let keptCuts = prepareToKeep(tree, inputs)
        var planned = plan(tree, inputs, keptCuts)
        if planned.programs == nil, kept != nil {
            kept = nil
            planned = plan(tree, inputs, keptCuts)
        }
        guard let (evaluation, calibration) = planned.programs else {
            guard masks.count > 1 else {
                throw Failure(
                    .unavailable,
                    "one mask on \(threads) threads takes \(planned.bytes >> 20) MB; raise --memory-limit, or use fewer "
                        + "threads or calibration images")
            }
            let middle = masks.count / 2
            return try evaluate(Array(masks[..<middle]), inputs, isCancelled)
                + evaluate(Array(masks[middle...]), inputs, isCancelled)
        }
        let next = try memoryToKeep(tree, evaluation, calibration, inputs)
        if let calibrating = inputs.calibration {
            let network = network
            try backend.calibrate(
                calibration, calibrating.images, inputs.normalisation, from: kept?.prefix.calibration,
                keeping: next?.calibration, isCancelled: isCancelled
            ) { calibrating.norm($0, $1, $2, of: network) }
        }
        let result = try backend.evaluate(
            evaluation, inputs.images, inputs.normalisation, by: inputs.answers, from: kept?.prefix.evaluated,
            keeping: next?.evaluated,
            masks: masks.count, isCancelled: isCancelled)
        if let next { kept = (next, inputs) }
        return result
    }

    /// The programs for the evaluation and the calibration images, nil if the memory is too small; and the least that
    /// they would take.
    private func plan(
        _ tree: PrefixTree, _ inputs: Inputs, _ keptCuts: Int
    ) -> (programs: (evaluation: CPUProgram, calibration: CPUProgram)?, bytes: Int) {
        let storage = Storage()
        let answers =
            inputs.answers == nil ? 0 : Answers.bytes(images: inputs.images.count, classes: network.graph.classes)
        let taken = backend.parameterBytes + answers + (kept?.prefix.bytes ?? 0)
        let measured = inputs.calibration == nil ? [] : backend.measured(inputs.batchNorm.source)
        var options = Schedule.Options(
            branchesMax: Self.branchesMax, isCalibration: false, ownNorms: measured,
            start: kept?.prefix.evaluated.start, keptCuts: keptCuts, chains: chains)
        let evaluation = program(tree, options, copies: threads, memoryBytesMax - taken, storage)
        options.isCalibration = true
        options.measured = measured
        options.start = kept?.prefix.calibration?.start ?? options.start
        let blocks = inputs.calibration?.images.blocks ?? 0
        let calibration = program(tree, options, copies: blocks, memoryBytesMax - taken, storage)
        let bytes = taken + max(evaluation.bytes, calibration.bytes)
        guard let evaluation = evaluation.program, let calibration = calibration.program else { return (nil, bytes) }
        return ((evaluation, calibration), bytes)
    }

    /// A program whose arenas fit the memory, with as many branches together as that allows, or nil; and its memory.
    private func program(
        _ tree: PrefixTree, _ options: Schedule.Options, copies: Int, _ available: Int, _ storage: Storage
    ) -> (program: CPUProgram?, bytes: Int) {
        var options = options
        var bytes = 0
        while options.branchesMax >= 1 {
            let program = backend.program(Schedule(network.stages, tree, options), storage: storage)
            bytes = backend.bytes(program, copies: copies) + storage.bytes
            if bytes <= available { return (program, bytes) }
            options.branchesMax /= 2
        }
        return (nil, bytes)
    }

    // MARK: - What is kept for the next masks

    /// Drops values that these masks cannot reuse. Returns the cuts after which values are worth keeping and not kept
    /// yet; 0 for none.
    private func prepareToKeep(_ tree: PrefixTree, _ inputs: Inputs) -> Int {
        guard !network.stages.isVectorOnly, let end = tree.trunk.last else { return 0 }
        let cuts = tree.decided(at: end)
        if let old = kept, !old.inputs.agree(with: inputs) || !cuts.starts(with: old.prefix.cuts) { kept = nil }
        // The first cut alone costs less than moving its values to memory and back; after the last nothing is left.
        let worth = min(common.expected(after: cuts), tree.cuts.count - 1)
        return worth > max(1, kept?.prefix.cuts.count ?? 0) ? worth : 0
    }

    /// Memory for the values that a program wants to keep, if available: a quarter of the limit at most.
    private func memoryToKeep(
        _ tree: PrefixTree, _ evaluation: CPUProgram, _ calibration: CPUProgram, _ inputs: Inputs
    ) throws -> KeptPrefix? {
        guard let behind = evaluation.schedule.kept?.start else { return nil }
        let calibrated = inputs.calibration == nil ? nil : calibration.schedule.kept?.start
        let blocks = inputs.calibration?.images.blocks ?? 0
        let lines = inputs.images.blocks * behind.lines + blocks * (calibrated?.lines ?? 0)
        let bytes = lines * backend.lanes * MemoryLayout<Float>.stride
        let arenas = max(
            backend.bytes(evaluation, copies: threads), backend.bytes(calibration, copies: blocks))
        guard bytes <= memoryBytesMax / 4,
            backend.parameterBytes + (kept?.prefix.bytes ?? 0) + arenas + bytes <= memoryBytesMax
        else { return nil }
        return KeptPrefix(
            cuts: tree.decided(at: tree.trunk[behind.cuts]),
            evaluated: try KeptPrefix.Values(behind, blocks: inputs.images.blocks, lanes: backend.lanes),
            calibration: try calibrated.map { try KeptPrefix.Values($0, blocks: blocks, lanes: backend.lanes) })
    }
}
