/// A message from the coordinator to a worker.
public enum CoordinatorMessage: Sendable, Equatable {
    /// The answer to a hello: the work.
    case welcome(Welcome)
    /// The worker is unknown here (the coordinator was restarted): it should say hello.
    case introduce
    /// A part of a network or an image set.
    case chunk(Chunk)
    /// Something to compute.
    case lease(Lease)
    /// A part of a version of the parameters for a training's jobs.
    case parameters(RowPart)
    /// The answer to a lease is recorded or not needed; the worker may drop it.
    case acknowledged(LeaseID)
    /// The lease is not needed any more.
    case cancel(LeaseID)
    /// All is well, in this life of the coordinator; `lease` is the number of the last lease granted to any worker, or
    /// 0.
    case heartbeat(life: UInt32, lease: UInt32)
    /// The coordinator does not want this worker; it must not come back.
    case dismissed(reason: String)
    /// The run is over.
    case finished

    /// A file that a worker needs.
    public struct Blob: Sendable, Hashable {
        /// The SHA-256 digest of its bytes.
        public var digest: Digest
        /// Its length in bytes.
        public var size: UInt64

        /// Makes a blob.
        public init(digest: Digest, size: UInt64) {
            self.digest = digest
            self.size = size
        }
    }

    /// What a worker must know about a run.
    public struct Welcome: Sendable, Equatable {
        /// What there is to do.
        public enum Work: Sendable, Equatable {
            /// Masks are evaluated.
            case masks(MaskWork)
            /// A network is trained.
            case training(TrainingWork)
        }

        /// The run.
        public var run: RunID
        /// The coordinator's life: 1 for the run's first start, one more after every restart.
        public var life: UInt32
        /// What there is to do.
        public var work: Work
        /// Milliseconds between heartbeats, both ways.
        public var heartbeatMilliseconds: Int
        /// Missed heartbeats after which the other side counts as gone.
        public var liveness: Int

        /// Makes a welcome.
        public init(
            run: RunID, life: UInt32, work: Work, heartbeatMilliseconds: Int = 1000, liveness: Int = 3
        ) {
            self.run = run
            self.life = life
            self.work = work
            self.heartbeatMilliseconds = heartbeatMilliseconds
            self.liveness = liveness
        }

        /// The blobs that a worker needs, each once.
        public var blobs: [Blob] {
            let all: [Blob?] =
                switch work {
                case .masks(let work): [work.network, work.images, work.calibrationImages]
                case .training(let work): [work.network, work.teacher, work.trainingImages, work.testImages]
                }
            var blobs: [Blob] = []
            for blob in all { if let blob, !blobs.contains(blob) { blobs.append(blob) } }
            return blobs
        }

        /// The data for a run of masks; nil for other work.
        public var masks: MaskWork? { if case .masks(let work) = work { work } else { nil } }

        /// The data for a training; nil for other work.
        public var training: TrainingWork? { if case .training(let work) = work { work } else { nil } }
    }

    /// A part of a blob.
    public struct Chunk: Sendable, Equatable {
        /// Which blob.
        public var digest: Digest
        /// The first byte.
        public var offset: UInt64
        /// The bytes, at most ``Wire/chunkBytesMax``.
        public var bytes: [UInt8]

        /// Makes a chunk.
        public init(digest: Digest, offset: UInt64, bytes: [UInt8]) {
            self.digest = digest
            self.offset = offset
            self.bytes = bytes
        }
    }

    /// A job that a worker has until a deadline.
    public struct Lease: Sendable, Equatable {
        /// The run that it belongs to.
        public var run: RunID
        /// The lease.
        public var lease: LeaseID
        /// The job.
        public var job: Job

        /// Makes a lease.
        public init(run: RunID, lease: LeaseID, job: Job) {
            self.run = run
            self.lease = lease
            self.job = job
        }
    }
}
