import Foundation
import Shared

/// The thread for slow work — hashing, loading, evaluating — while the worker's loop keeps talking. Separate threads
/// compute the shares of a training, one each.
final class Workbench: Sendable {
    /// The work, in sequence.
    enum Job: Sendable {
        /// Look for a blob on this host.
        case locate(CoordinatorMessage.Blob)
        /// Compare a blob's bytes with its digest and keep them.
        case check(CoordinatorMessage.Blob, [UInt8])
        /// Load the network and the images of a run.
        case prepare(CoordinatorMessage.Welcome)
        /// Take a version of a training's parameters, or a network, for the jobs that follow.
        case load(version: UInt64, [Float])
        /// Compute a job.
        case compute(CoordinatorMessage.Lease)
    }

    /// What came of it.
    enum Result: Sendable {
        case located(Digest, isWhole: Bool)
        case checked(Digest, isRight: Bool)
        case prepared(RunID)
        case preparationFailed(reason: String)
        case computed(LeaseID, JobResult, row: [Float], microseconds: UInt64)
        case computationFailed(LeaseID, reason: String)
        case abandoned(LeaseID)
    }

    private struct State {
        var jobs: [Job] = []
        var results: [Result] = []
        /// The cancelled leases; each is removed when its computation ends.
        var abandoned: Set<LeaseID> = []
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
            var bench = Bench(library: library, threads: threads) { self.report($0) }
            while true {
                wanted.wait()
                guard let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) else { continue }
                if let result = bench.result(of: job, isAbandoned: { self.isAbandoned($0) }) { report(result) }
            }
        }
    }

    /// Adds a job at the end.
    func submit(_ job: Job) {
        state.withLock { $0.jobs.append(job) }
        wanted.signal()
    }

    /// Gives up a lease, whether it waits or is being computed.
    func abandon(_ lease: LeaseID) { state.withLock { _ = $0.abandoned.insert(lease) } }

    private func report(_ result: Result) {
        state.withLock { state in
            state.results.append(result)
            switch result {
            case .computed(let lease, _, _, _), .computationFailed(let lease, _), .abandoned(let lease):
                state.abandoned.remove(lease)
            case .located, .checked, .prepared, .preparationFailed: break
            }
        }
        finished.signal()
    }

    /// The results since the last call.
    func results() -> [Result] {
        finished.clear()
        return state.withLock { state in
            defer { state.results = [] }
            return state.results
        }
    }

    private func isAbandoned(_ lease: LeaseID) -> Bool { state.withLock { $0.abandoned.contains(lease) } }
}

/// What the thread works with.
private struct Bench {
    let library: BlobLibrary
    let threads: Int
    /// Takes what other threads compute.
    let report: @Sendable (Workbench.Result) -> Void
    private var run: (id: RunID, kind: Kind)?

    /// A run that is loaded.
    private enum Kind {
        case masks(MaskBench)
        case training(TrainingPool)
        case networks(NetworkBench)
    }

    init(library: BlobLibrary, threads: Int, report: @escaping @Sendable (Workbench.Result) -> Void) {
        self.library = library
        self.threads = threads
        self.report = report
    }

    /// Does a job; nil if others do it and report.
    mutating func result(of job: Workbench.Job, isAbandoned: (LeaseID) -> Bool) -> Workbench.Result? {
        switch job {
        case .locate(let blob): return .located(blob.digest, isWhole: library.locate(blob))
        case .check(let blob, let bytes): return .checked(blob.digest, isRight: library.keep(bytes, as: blob))
        case .prepare(let welcome):
            do {
                if case .training(let pool) = run?.kind { pool.stop() }
                run = nil
                run = (welcome.run, try load(welcome))
                return .prepared(welcome.run)
            } catch {
                return .preparationFailed(reason: "\(error)")
            }
        case .load(let version, let row):
            switch run?.kind {
            case .training(let pool): pool.load(version: version, row)
            case .networks(let bench): bench.load(version: version, row)
            case .masks, nil: break
            }
            return nil
        case .compute(let lease): return compute(lease, isAbandoned: { isAbandoned(lease.lease) })
        }
    }

    private func compute(_ lease: CoordinatorMessage.Lease, isAbandoned: () -> Bool) -> Workbench.Result? {
        guard let run, run.id == lease.run else {
            return .computationFailed(lease.lease, reason: "the network and the images are not loaded")
        }
        switch (run.kind, lease.job) {
        case (.masks(let bench), .masks(let masks)):
            return timed(lease) { (.masks(try bench.evaluate(masks, isCancelled: isAbandoned)), []) }
        case (.networks(let bench), .step(.network(let task, _), let version)):
            return timed(lease) { try bench.compute(task, version: version, isCancelled: isAbandoned) }
        case (.training(let pool), .step(let step, let version)):
            pool.submit(step, version: version) { [report] outcome, microseconds in
                switch outcome {
                case .success((let result, let row)):
                    report(.computed(lease.lease, result, row: row, microseconds: microseconds))
                case .failure(let error): report(.computationFailed(lease.lease, reason: "\(error)"))
                }
            }
            return nil
        default: return .computationFailed(lease.lease, reason: "a job of another kind than the run")
        }
    }

    /// What came of a job that this thread computes.
    private func timed(
        _ lease: CoordinatorMessage.Lease, _ compute: () throws -> (JobResult, row: [Float])
    ) -> Workbench.Result {
        do {
            let start = ContinuousClock.now
            let (result, row) = try compute()
            let time = start.duration(to: .now) / .microseconds(1)
            return .computed(lease.lease, result, row: row, microseconds: UInt64(max(1, time)))
        } catch is CancellationError {
            return .abandoned(lease.lease)
        } catch {
            return .computationFailed(lease.lease, reason: "\(error)")
        }
    }

    private func load(_ welcome: CoordinatorMessage.Welcome) throws -> Kind {
        switch welcome.work {
        case .masks(let work): .masks(try MaskBench(work, from: library, threads: threads))
        case .training(let work): .training(try TrainingPool(work, from: library, threads: threads))
        case .networks(let work): .networks(try NetworkBench(work, from: library, threads: threads))
        }
    }
}
