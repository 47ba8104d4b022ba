/// What the coordinator says to a worker.
public enum CoordinatorMessage: Sendable, Equatable {
    /// The answer to a hello: what is evaluated.
    case welcome(Welcome)
    /// The worker is not known here (the coordinator was restarted): it shall say hello.
    case introduce
    /// A part of a network or an image set.
    case chunk(Chunk)
    /// Masks to evaluate.
    case lease(Lease)
    /// The answer to a lease is recorded or not needed; the worker may forget it.
    case acknowledged(LeaseID)
    /// The lease is not needed any more.
    case cancel(LeaseID)
    /// All is well, in this life of the coordinator; `lease` is the number of the last lease that it has granted, to
    /// anybody, or 0.
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

    /// What a worker must know of a run.
    public struct Welcome: Sendable, Equatable {
        /// The run.
        public var run: RunID
        /// The coordinator's life: 1 for the run's first start, one more after every restart.
        public var life: UInt32
        /// How masks are evaluated.
        public var settings: EvaluationSettings
        /// The network's checkpoint.
        public var network: Blob
        /// The records of the images that are evaluated.
        public var images: Blob
        /// The records of the images that batch norms are recalibrated with, where they are.
        public var calibrationImages: Blob?
        /// Filters of the network: bits of a mask.
        public var filters: Int
        /// Masks of the run.
        public var masks: Int
        /// Milliseconds between heartbeats, both ways.
        public var heartbeatMilliseconds: Int
        /// Missed heartbeats after which the other side counts as gone.
        public var liveness: Int

        /// Makes a welcome.
        public init(
            run: RunID, life: UInt32, settings: EvaluationSettings, network: Blob, images: Blob,
            calibrationImages: Blob? = nil, filters: Int, masks: Int, heartbeatMilliseconds: Int = 1000,
            liveness: Int = 3
        ) {
            self.run = run
            self.life = life
            self.settings = settings
            self.network = network
            self.images = images
            self.calibrationImages = calibrationImages
            self.filters = filters
            self.masks = masks
            self.heartbeatMilliseconds = heartbeatMilliseconds
            self.liveness = liveness
        }

        /// The blobs that a worker needs, each once.
        public var blobs: [Blob] {
            var blobs = [network]
            for blob in [images, calibrationImages] { if let blob, !blobs.contains(blob) { blobs.append(blob) } }
            return blobs
        }
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

    /// A batch of masks.
    public struct Lease: Sendable, Equatable {
        /// The run that it belongs to.
        public var run: RunID
        /// The lease.
        public var lease: LeaseID
        /// The masks, all of one number of filters.
        public var masks: [IndexedMask]

        /// Makes a lease.
        public init(run: RunID, lease: LeaseID, masks: [IndexedMask]) {
            self.run = run
            self.lease = lease
            self.masks = masks
        }
    }
}

/// A mask of the run and its index in the ensemble.
public struct IndexedMask: Sendable, Hashable {
    /// The mask's index in the ensemble.
    public var index: Int
    /// The mask.
    public var mask: Mask

    /// Makes a pair.
    public init(index: Int, mask: Mask) {
        self.index = index
        self.mask = mask
    }
}
