import Shared

/// Computes tasks about networks that come one after the other, on sets of images that stay.
final class NetworkBench {
    private let imageSets: [ImageSet]
    private let normalisation: Normalisation
    private let threads: Int
    /// The network that came last, and its engine once it was needed.
    private var current: (version: UInt64, network: Result<Network, any Error>, engine: Engine?)?

    /// Loads the images. Throws a `.badInput` ``Failure`` where the coordinator's files are not what it announces.
    init(_ work: NetworkWork, from library: BlobLibrary, threads: Int) throws {
        imageSets = try work.imageSets.map { blob in
            let set = try ImageSet(blob: library.take(blob), name: "the coordinator's images")
            try set.check(work.normalisation)
            return set
        }
        normalisation = work.normalisation
        self.threads = threads
    }

    /// Takes a network for the tasks that follow.
    func load(version: UInt64, _ row: [Float]) {
        let network = Result {
            try Checkpoint.network(bytes: RowPart.bytes(of: row), name: "the coordinator's network", note: { _ in })
        }
        current = (version, network, nil)
    }

    /// Computes a task. Throws a ``Failure`` where its images or its network are not there or do not fit each other, and a
    /// `CancellationError` where it is not wanted any more.
    func compute(
        _ task: NetworkTask, version: UInt64, isCancelled: () -> Bool
    ) throws -> (JobResult, row: [Float]) {
        guard let current, current.version == version else {
            throw Failure(.badInput, "network \(version) is not here")
        }
        let network = try current.network.get()
        let space = FilterSpace(network.graph)
        guard task.filters == space.count else {
            throw Failure(.badInput, "the task is about \(task.filters) filters, the network has \(space.count)")
        }
        switch task {
        case .evaluations(let batch):
            return (.masks(try evaluations(batch, network, isCancelled)), [])
        case .gateGradients(_, let set, let range):
            let sums = try TaylorImportance.sums(
                network, images: try images(set, range, of: network), normalisation: normalisation, threads: threads)
            return (.row, sums.map(Float.init))
        case .statistics(let batchNorm, let mask, let set):
            let images = try images(set, 0..<(batchNorm.calibrationImages ?? 0), of: network)
            let changed = try engine(network).recalibrated(
                network, batchNorm, under: mask, of: images, normalisation: normalisation)
            return (.row, RowPart.row(of: Checkpoint.safetensors(of: changed)))
        case .selection(let mask, let set, let count):
            let choice = try FilterSelection(
                network, asManyAs: mask, images: try fittingImages(set, count, of: network)
            ).choice()
            for (layer, reader) in choice.skipped {
                Log.shared.line(
                    "\(layer) keeps the lowest scores: \(reader) reads too many values for its equations here")
            }
            return (.filters(choice.mask), [])
        case .reconstruction(let mask, let set, let count):
            let fitted = try Reconstruction(
                network, removing: mask, images: try fittingImages(set, count, of: network)
            ).network()
            return (.row, RowPart.row(of: Checkpoint.safetensors(of: fitted)))
        }
    }

    private func evaluations(
        _ batch: NetworkTask.MaskBatch, _ network: Network, _ isCancelled: () -> Bool
    ) throws -> [MaskEvaluation] {
        let pool = try images(batch.imageSet, batch.images, of: network)
        let calibration = try batch.calibrationSet.map {
            try images($0, 0..<(batch.settings.batchNorm.calibrationImages ?? 0), of: network)
        }
        let rotation = batch.settings.rotation
        let indices = batch.first..<batch.first + batch.masks.count
        let evaluations = try engine(network).evaluate(
            batch.masks, groups: indices.map { rotation?.group(of: $0) ?? 0 },
            images: { rotation == nil ? pool : pool.picking(batch.settings.images(ofGroup: $0)) },
            calibration: calibration, settings: batch.settings, isCancelled: isCancelled)
        return zip(indices, evaluations).map { MaskEvaluation(mask: $0, evaluation: $1) }
    }

    private func engine(_ network: Network) throws -> Engine {
        if let engine = current?.engine { return engine }
        let engine = try Engine(network: network, threads: threads)
        current?.engine = engine
        return engine
    }

    private func images(_ set: Int, _ range: Range<Int>, of network: Network) throws -> ImageSet {
        guard imageSets.indices.contains(set), range.upperBound <= imageSets[set].count, !range.isEmpty else {
            throw Failure(.badInput, "the task names images that are not there")
        }
        let images = imageSets[set]
        try images.check(fits: network.graph)
        return range == 0..<images.count ? images : images.subset(range)
    }

    private func fittingImages(_ set: Int, _ count: Int, of network: Network) throws -> FittingImages {
        try FittingImages(
            images(set, 0..<count, of: network), for: network.graph, normalisation: normalisation, threads: threads,
            memoryBytesMax: Engine.memoryBytesDefault)
    }
}
