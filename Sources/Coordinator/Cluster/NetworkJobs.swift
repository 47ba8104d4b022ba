import Foundation
import Shared

/// Has questions about networks answered by workers: those that are started here, and those that connect.
///
/// The workers stay from one question to the next and keep the images. An answer follows from its question alone, whoever
/// computes it, and however it was divided.
final class NetworkJobs {
    /// Missed heartbeats after which the other side counts as gone: while the coordinator chooses filters, it sends none.
    private static let liveness = 120
    /// Masks that a worker gets at a time, at most, and bytes of them.
    private static let masksPerTask = 16
    private static let maskBytesPerTask = 256 << 10
    /// Images of a network without masks that a worker gets at a time, at least, and the most tasks for them.
    private static let imagesPerTask = 1024
    private static let tasksPerNetwork = 16
    /// Images whose gradients a worker computes at a time: sums are rounded once for each.
    private static let gradientImagesPerTask = 256

    /// Images that workers have.
    private struct WorkersImages {
        let split: EvaluationSettings.Split
        let range: Range<Int>
        let blob: CoordinatorMessage.Blob
    }

    /// Where workers connect to.
    let endpoint: String
    private let data: DataSet
    private let normalisation: Normalisation
    private let localWorkers: LocalWorkers?
    private let loop: StepLoop
    private let signals: SignalQueue
    private var store = BlobStore()
    private var imageSets: [WorkersImages] = []
    private var current: (version: UInt64, digest: Digest, bytes: [UInt8]) = (0, Digest(sha256Of: []), [])

    /// Listens, and starts local workers where none but these are meant to come. `isInterruptible` where the caller has
    /// taken over the signals that end a program: then a question that one interrupts throws an `.interrupted` ``Failure``.
    /// Throws a ``Failure``, an `.unavailable` one on a host without `winnow-worker`.
    init(
        on data: DataSet, normalisation: Normalisation, cluster: ClusterOptions = ClusterOptions(),
        at endpoint: String? = nil, isInterruptible: Bool = false
    ) throws {
        self.data = data
        self.normalisation = normalisation
        signals = try SignalQueue(isInterruptible ? SignalQueue.endings : [])
        let listener = try cluster.listen(at: endpoint)
        self.endpoint = listener.endpoint
        let isAlone = !cluster.$bind.isGiven
        if !isAlone { Log.shared.line("listening at \(listener.endpoint)") }
        localWorkers = try cluster.startLocalWorkers(
            connectingTo: listener.localEndpoint, environment: listener.localEnvironment, isQuiet: isAlone)
        let work = NetworkWork(imageSets: [], normalisation: normalisation)
        loop = StepLoop(
            at: listener, welcoming: Self.welcome(work), localWorkers: localWorkers, notesArrivals: !isAlone)
    }

    deinit {
        try? loop.finish()
        localWorkers?.stop()
    }

    private static func welcome(_ work: NetworkWork) -> CoordinatorMessage.Welcome {
        CoordinatorMessage.Welcome(run: .random(), life: 1, work: .networks(work), liveness: liveness)
    }

    // MARK: - Questions

    /// Mean cross-entropy and correct images of a network as it is, on images of a split after those that are skipped.
    func evaluate(
        _ network: Network, _ settings: EvaluationSettings, skipping skipped: Int = 0
    ) throws -> PruningRecord.Measurement {
        let unmasked = Mask(count: FilterSpace(network.graph).count)
        let measured = try evaluate(network, under: [unmasked], settings, skipping: skipped)
        guard let only = measured.first else {
            throw Failure(.internalFault, "a network was measured without a result")
        }
        return only
    }

    /// The same of a network under masks, in their order, each on its images where these rotate.
    func evaluate(
        _ network: Network, under masks: [Mask], _ settings: EvaluationSettings, skipping skipped: Int = 0
    ) throws -> [PruningRecord.Measurement] {
        let (imageSet, images) = try place(of: skipped..<skipped + settings.pool, settings.split, for: network)
        var calibrationSet: Int?
        if let count = settings.batchNorm.calibrationImages, !settings.calibratesOnOwnImages {
            calibrationSet = try place(of: 0..<count, .train, for: network).set
        }
        func task(_ masks: Range<Int>, _ images: Range<Int>, of all: [Mask]) -> NetworkTask {
            var own = settings
            if settings.rotation == nil { own.images = images.count }
            return .evaluations(
                NetworkTask.MaskBatch(
                    masks: Array(all[masks]), first: masks.lowerBound, imageSet: imageSet, images: images,
                    calibrationSet: calibrationSet, settings: own))
        }
        let ranges = settings.rotation == nil && masks.count == 1 ? parts(of: images, settings) : [images]
        let tasks = maskParts(masks).flatMap { part in ranges.map { task(part, $0, of: masks) } }
        let answers = try ask(tasks, about: network, "measuring").map { answer -> [Evaluation] in
            if case .evaluations(let evaluations) = answer { evaluations } else { [] }
        }
        var sums = [Evaluation](repeating: Evaluation(), count: masks.count)
        for (task, evaluations) in zip(tasks, answers) {
            guard case .evaluations(let batch) = task else { continue }
            for (offset, evaluation) in evaluations.enumerated() {
                sums[batch.first + offset] = sums[batch.first + offset] + evaluation
            }
        }
        return sums.map {
            PruningRecord.Measurement(
                network: nil, split: settings.split.rawValue, images: settings.images,
                batchNorm: settings.batchNorm.source.rawValue, loss: $0.loss, correct: $0.correct)
        }
    }

    /// The mean squared gate gradient of every filter of a network, by its number, on the first training images.
    func gateGradients(of network: Network, images count: Int) throws -> [Double] {
        let (set, images) = try place(of: 0..<count, .train, for: network)
        let filters = FilterSpace(network.graph).count
        let tasks = stride(from: images.lowerBound, to: images.upperBound, by: Self.gradientImagesPerTask).map {
            NetworkTask.gateGradients(
                filters: filters, imageSet: set, $0..<min($0 + Self.gradientImagesPerTask, images.upperBound))
        }
        var sums = [Double](repeating: 0, count: filters)
        for case .row(let row) in try ask(tasks, about: network, "taking gradients") {
            for filter in sums.indices { sums[filter] += Double(row[filter]) }
        }
        return sums.map { $0 / Double(count) }
    }

    /// A network with the batch-norm statistics that it has under a mask, which must not be frozen ones.
    func recalibrated(
        _ network: Network, _ batchNorm: EvaluationSettings.BatchNorm, under mask: Mask
    ) throws -> Network {
        let count = batchNorm.calibrationImages ?? 0
        let set = try place(of: 0..<count, .train, for: network).set
        return try self.network(
            .statistics(batchNorm, under: mask, imageSet: set), about: network, like: network.graph,
            "taking batch-norm statistics")
    }

    /// As many filters of each layer as a mask disables: those whose loss a refit of the next layers on the first training
    /// images can best make up for.
    func selected(from network: Network, asManyAs mask: Mask, images count: Int) throws -> Mask {
        let set = try place(of: 0..<count, .train, for: network).set
        let layers = FilterSpace(network.graph).layers.map(\.filters)
        let answers = try ask(
            [.selection(asManyAs: mask, imageSet: set, images: count)], about: network, "choosing filters"
        ) { _, answer in
            guard case .filters(let chosen) = answer else { return nil }
            let isAsked = layers.allSatisfy { filters in
                filters.count { chosen[$0] } == filters.count { mask[$0] }
            }
            return isAsked ? nil : "it chose other numbers of filters than were asked for"
        }
        guard case .filters(let chosen)? = answers.first else {
            throw Failure(.internalFault, "filters were chosen without a result")
        }
        return chosen
    }

    /// A network without the filters of a mask, the layers after them refitted on the first training images.
    func reconstructed(_ network: Network, removing mask: Mask, images count: Int) throws -> Network {
        let set = try place(of: 0..<count, .train, for: network).set
        return try self.network(
            .reconstruction(removing: mask, imageSet: set, images: count), about: network,
            like: try network.removing(mask).graph, "refitting layers")
    }

    /// The network that comes of a task, whose layers have as many filters as those of a graph.
    private func network(
        _ task: NetworkTask, about original: Network, like graph: Graph, _ words: String
    ) throws -> Network {
        let widths = FilterSpace(graph).layers.map(\.filters)
        let answers = try ask([task], about: original, words) { _, answer in
            guard case .row(let row) = answer, let network = try? Self.network(of: row) else {
                return "it answered with a network that cannot be read"
            }
            return FilterSpace(network.graph).layers.map(\.filters) == widths
                ? nil : "it answered with a network of other widths"
        }
        guard case .row(let row)? = answers.first else {
            throw Failure(.internalFault, "a network was asked for and none came")
        }
        var network = try Self.network(of: row)
        network.facts = original.facts
        return network
    }

    private static func network(of row: [Float]) throws -> Network {
        try Checkpoint.network(bytes: RowPart.bytes(of: row), name: "a worker's network", note: { _ in })
    }

    // MARK: - Asking

    private func ask(
        _ tasks: [NetworkTask], about network: Network, _ words: String,
        refusal: @escaping @Sendable (NetworkTask, StepScheduler.Answer) -> String? = { _, _ in nil }
    ) throws -> [StepScheduler.Answer] {
        let bytes = Checkpoint.safetensors(of: network)
        guard bytes.count / 4 < RowPart.totalMax else {
            throw Failure(
                .badInput, "the network has \(bytes.count >> 20) MB; workers take \(RowPart.totalMax >> 18) MB")
        }
        let digest = Digest(sha256Of: bytes)
        if digest != current.digest { current = (current.version + 1, digest, bytes) }
        loop.ticked = { [weak loop] in
            guard let loop else { return }
            let done = loop.answeredCount
            let who = loop.workerCount == 1 ? "1 worker" : "\(loop.workerCount) workers"
            Log.shared.setStatus(
                tasks.count == 1 ? "\(words), \(who)" : "\(words): \(done) of \(tasks.count) parts, \(who)")
        }
        defer { Log.shared.clearStatus() }
        return try loop.compute(
            tasks, about: (current.version, current.bytes), refusal: refusal, signals: signals)
    }

    private var workers: Int { max(1, loop.workerCount) }

    private func maskParts(_ masks: [Mask]) -> [Range<Int>] {
        let bytes = max(8, 8 * (masks.first?.words.count ?? 1))
        let most = max(1, min(Self.masksPerTask, Self.maskBytesPerTask / bytes))
        let size = min(most, max(1, (masks.count + 2 * workers - 1) / (2 * workers)))
        return stride(from: 0, to: masks.count, by: size).map { $0..<min($0 + size, masks.count) }
    }

    /// Parts of images, where what is taken on others is the same for each.
    private func parts(of images: Range<Int>, _ settings: EvaluationSettings) -> [Range<Int>] {
        guard settings.batchNorm == .frozen else { return [images] }
        let size = max(Self.imagesPerTask, (images.count + Self.tasksPerNetwork - 1) / Self.tasksPerNetwork)
        return stride(from: images.lowerBound, to: images.upperBound, by: size).map {
            $0..<min($0 + size, images.upperBound)
        }
    }

    // MARK: - Images

    /// Where workers find images: the number of a set, and the images' numbers in it. Where they have none of these, the
    /// images are read and offered to them.
    private func place(
        of range: Range<Int>, _ split: EvaluationSettings.Split, for network: Network
    ) throws -> (set: Int, images: Range<Int>) {
        if let index = imageSets.firstIndex(where: {
            $0.split == split && $0.range.lowerBound <= range.lowerBound && range.upperBound <= $0.range.upperBound
        }) {
            let start = imageSets[index].range.lowerBound
            // What is named as the first images must begin where the set does.
            if start == 0 || start == range.lowerBound {
                return (index, range.lowerBound - start..<range.upperBound - start)
            }
        }
        let read = try data.fitting(network.graph).read(split, limit: range.upperBound)
        try read.check(fits: network.graph)
        let blob = store.add((range.lowerBound == 0 ? read : read.subset(range)).blob)
        let new = WorkersImages(split: split, range: range, blob: blob)
        // A longer beginning takes the place of a shorter one.
        let index =
            imageSets.firstIndex { $0.split == split && $0.range.lowerBound == range.lowerBound } ?? imageSets.count
        if index < imageSets.count {
            if imageSets[index].blob != blob { store.remove(imageSets[index].blob) }
            imageSets[index] = new
        } else {
            imageSets.append(new)
        }
        precondition(imageSets.count <= NetworkWork.imageSetsMax, "a command asks about few sets of images")
        try loop.offer(
            store,
            Self.welcome(NetworkWork(imageSets: imageSets.map(\.blob), normalisation: normalisation)))
        return (index, 0..<range.count)
    }
}
