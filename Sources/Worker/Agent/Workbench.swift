import Foundation
import Shared

/// The thread that does what takes long — hashing, loading, evaluating — while the worker's loop keeps talking.
final class Workbench: Sendable {
    /// What there is to do; one after the other.
    enum Job: Sendable {
        /// Look for a blob on this host.
        case locate(CoordinatorMessage.Blob)
        /// Compare a blob's bytes with its digest and keep them.
        case check(CoordinatorMessage.Blob, [UInt8])
        /// Load the network and the images of a run.
        case prepare(CoordinatorMessage.Welcome)
        /// Evaluate masks.
        case compute(CoordinatorMessage.Lease)
    }

    /// What came of it.
    enum Result: Sendable {
        case located(Digest, isWhole: Bool)
        case checked(Digest, isRight: Bool)
        case prepared(RunID)
        case preparationFailed(reason: String)
        case computed(LeaseID, [MaskEvaluation], microseconds: UInt64)
        case computationFailed(LeaseID, reason: String)
        case abandoned(LeaseID)
    }

    private struct State {
        var jobs: [Job] = []
        var results: [Result] = []
        /// The lease whose evaluation is not wanted any more.
        var abandoned: LeaseID?
    }

    /// Signalled when there are results.
    let finished: WakeUp
    /// Where networks and images are found.
    let library: BlobLibrary
    private let state = Locked(State())
    private let wanted = DispatchSemaphore(value: 0)

    /// Starts the thread; it lives as long as the process. Throws a ``TransportError``.
    init(library: BlobLibrary, threads: Int) throws {
        finished = try WakeUp()
        self.library = library
        _ = BackgroundThread(name: "winnow-compute", stackBytes: 8 << 20) { [self] in
            var bench = Bench(library: library, threads: threads)
            while true {
                wanted.wait()
                guard let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) else { continue }
                let result = bench.result(of: job, isAbandoned: { self.isAbandoned($0) })
                state.withLock { $0.results.append(result) }
                finished.signal()
            }
        }
    }

    /// Adds a job after those that are there.
    func submit(_ job: Job) {
        state.withLock { $0.jobs.append(job) }
        wanted.signal()
    }

    /// Gives up a lease, whether it waits or is being computed.
    func abandon(_ lease: LeaseID) { state.withLock { $0.abandoned = lease } }

    /// The results since the last call.
    func results() -> [Result] {
        finished.clear()
        return state.withLock { state in
            defer { state.results = [] }
            return state.results
        }
    }

    private func isAbandoned(_ lease: LeaseID) -> Bool { state.withLock { $0.abandoned == lease } }
}

/// What the thread works with.
private struct Bench {
    let library: BlobLibrary
    let threads: Int
    private var run: Run?

    /// A run that is loaded.
    private final class Run {
        let welcome: CoordinatorMessage.Welcome
        private let engine: Engine
        private let pool: ImageSet
        private let calibrationImages: ImageSet?
        /// The images of the group of masks that came last.
        private var own: (group: Int, images: ImageSet)?

        init(_ welcome: CoordinatorMessage.Welcome, engine: Engine, pool: ImageSet, calibrationImages: ImageSet?) {
            self.welcome = welcome
            self.engine = engine
            self.pool = pool
            self.calibrationImages = calibrationImages
        }

        /// Evaluates the masks of a lease, each on the images of its group.
        func evaluate(_ masks: [IndexedMask], isCancelled: () -> Bool) throws -> [MaskEvaluation] {
            let settings = welcome.settings
            let evaluations = try engine.evaluate(
                masks.map(\.mask), groups: masks.map { settings.rotation?.group(of: $0.index) ?? 0 }, images: images,
                calibration: calibrationImages, settings: settings, isCancelled: isCancelled)
            return zip(masks, evaluations).map { MaskEvaluation(mask: $0.index, evaluation: $1) }
        }

        /// The images of a group of masks.
        private func images(of group: Int) -> ImageSet {
            guard welcome.settings.rotation != nil else { return pool }
            if let own, own.group == group { return own.images }
            let images = pool.picking(welcome.settings.images(ofGroup: group))
            own = (group, images)
            return images
        }
    }

    init(library: BlobLibrary, threads: Int) {
        self.library = library
        self.threads = threads
    }

    /// Does a job.
    mutating func result(of job: Workbench.Job, isAbandoned: (LeaseID) -> Bool) -> Workbench.Result {
        switch job {
        case .locate(let blob): return .located(blob.digest, isWhole: library.locate(blob))
        case .check(let blob, let bytes): return .checked(blob.digest, isRight: library.keep(bytes, as: blob))
        case .prepare(let welcome):
            do {
                run = nil
                run = try load(welcome)
                return .prepared(welcome.run)
            } catch {
                return .preparationFailed(reason: "\(error)")
            }
        case .compute(let lease):
            guard let run, run.welcome.run == lease.run else {
                return .computationFailed(lease.lease, reason: "the network and the images are not loaded")
            }
            do {
                let start = ContinuousClock.now
                let evaluations = try run.evaluate(lease.masks, isCancelled: { isAbandoned(lease.lease) })
                let time = start.duration(to: .now) / .microseconds(1)
                return .computed(lease.lease, evaluations, microseconds: UInt64(max(1, time)))
            } catch is CancellationError {
                return .abandoned(lease.lease)
            } catch {
                return .computationFailed(lease.lease, reason: "\(error)")
            }
        }
    }

    private func load(_ welcome: CoordinatorMessage.Welcome) throws -> Run {
        let network = try Checkpoint.network(
            bytes: library.take(welcome.network), name: "the coordinator's network", note: { _ in })
        let filters = FilterSpace(network.graph).count
        guard filters == welcome.filters else {
            throw Failure(.badInput, "the coordinator's network has \(filters) filters, not \(welcome.filters)")
        }
        func images(_ blob: CoordinatorMessage.Blob) throws -> ImageSet {
            let set = try ImageSet(blob: library.take(blob), name: "the coordinator's images")
            try set.check(fits: network.graph)
            try set.check(welcome.settings.normalisation)
            return set
        }
        let pool = try images(welcome.images)
        guard pool.count >= welcome.settings.pool else {
            throw Failure(
                .badInput,
                "the coordinator has \(pool.count) images, not the \(welcome.settings.pool) that it announces")
        }
        return Run(
            welcome, engine: try Engine(network: network, threads: threads), pool: pool,
            calibrationImages: try welcome.calibrationImages.map(images))
    }
}
