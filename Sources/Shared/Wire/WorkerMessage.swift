/// A message from a worker to the coordinator.
public enum WorkerMessage: Sendable, Equatable {
    /// The first message over a connection, and the answer to `introduce`.
    case hello(Hello)
    /// Requests a part of a network or an image set.
    case want(BlobRange)
    /// Requests the part of a version of the parameters that begins at a float.
    case wantParameters(version: UInt64, offset: Int)
    /// The network and the images of this run are loaded; leases are welcome.
    case ready(RunID)
    /// A part of a job's row of numbers, before its answer.
    case part(RowPart)
    /// The answer to a lease; resent, with the parts of its row, until acknowledged.
    case answer(Answer)
    /// A lease, or one mask of it, that could not be computed.
    case failed(LeaseFailure)
    /// All is well; the leases it has, the current one first, and last those whose answers it keeps until acknowledged.
    /// `seen` is the last lease named by the coordinator's heartbeats: a lease up to it that is not listed is not here;
    /// one granted later may be on its way.
    case heartbeat([LeaseID], seen: LeaseID)
    /// It is about to leave: it will still answer the leases named here, returns all others and accepts no more. With
    /// none named, it is gone.
    case goodbye(keeping: [LeaseID])

    /// Who a worker is.
    public struct Hello: Sendable, Equatable {
        /// Its identity, the same over reconnects and restarts.
        public var worker: WorkerID
        /// How often it was started, or its start time: a later start has a greater number.
        public var incarnation: UInt64
        /// The host's name, for people.
        public var host: String
        /// Threads that compute.
        public var threads: Int
        /// The kernels' instruction set, for people: `AVX2`.
        public var instructionSet: String
        /// The arithmetic that evaluates masks (``Arithmetic``): equal ones give equal bits.
        public var arithmetic: String
        /// The release of the program.
        public var programVersion: String
        /// Images per second under one mask each, or 0 if unknown.
        public var imagesPerSecond: Double

        /// Makes a hello.
        public init(
            worker: WorkerID, incarnation: UInt64, host: String, threads: Int, instructionSet: String,
            programVersion: String, imagesPerSecond: Double = 0, arithmetic: String = Arithmetic.lanes
        ) {
            self.worker = worker
            self.incarnation = incarnation
            self.host = host
            self.threads = threads
            self.instructionSet = instructionSet
            self.arithmetic = arithmetic
            self.programVersion = programVersion
            self.imagesPerSecond = imagesPerSecond
        }
    }

    /// A part of a blob.
    public struct BlobRange: Sendable, Hashable {
        /// Which blob.
        public var digest: Digest
        /// The first byte.
        public var offset: UInt64
        /// How many bytes, at most ``Wire/chunkBytesMax``.
        public var length: Int

        /// Makes a range.
        public init(digest: Digest, offset: UInt64, length: Int) {
            self.digest = digest
            self.offset = offset
            self.length = length
        }
    }

    /// The answer to a lease.
    public struct Answer: Sendable, Equatable {
        /// The run that the lease belongs to.
        public var run: RunID
        /// The lease.
        public var lease: LeaseID
        /// How long it took to compute, in microseconds.
        public var computeMicroseconds: UInt64
        /// What came of the job.
        public var result: JobResult

        /// Makes an answer.
        public init(run: RunID, lease: LeaseID, computeMicroseconds: UInt64, result: JobResult) {
            self.run = run
            self.lease = lease
            self.computeMicroseconds = computeMicroseconds
            self.result = result
        }

        /// The answer to a lease of masks.
        public init(run: RunID, lease: LeaseID, computeMicroseconds: UInt64, evaluations: [MaskEvaluation]) {
            self.init(run: run, lease: lease, computeMicroseconds: computeMicroseconds, result: .masks(evaluations))
        }

        /// One per evaluated mask; empty for other jobs.
        public var evaluations: [MaskEvaluation] {
            get { if case .masks(let evaluations) = result { evaluations } else { [] } }
            set { result = .masks(newValue) }
        }
    }

    /// What could not be computed.
    public struct LeaseFailure: Sendable, Equatable {
        /// The run that the lease belongs to.
        public var run: RunID
        /// The lease.
        public var lease: LeaseID
        /// The mask's index, or nil if the whole lease failed.
        public var mask: Int?
        /// Why, for people.
        public var reason: String

        /// Makes a failure.
        public init(run: RunID, lease: LeaseID, mask: Int?, reason: String) {
            self.run = run
            self.lease = lease
            self.mask = mask
            self.reason = reason
        }
    }
}

/// A mask of the run, by its index in the ensemble, and its evaluation.
public struct MaskEvaluation: Sendable, Hashable {
    /// The mask's index in the ensemble.
    public var mask: Int
    /// Its evaluation.
    public var evaluation: Evaluation

    /// Makes a pair.
    public init(mask: Int, evaluation: Evaluation) {
        self.mask = mask
        self.evaluation = evaluation
    }
}
