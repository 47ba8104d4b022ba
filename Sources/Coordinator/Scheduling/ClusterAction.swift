import Shared

/// What a policy tells the coordinator's loop to do, in this order.
public enum ClusterAction: Sendable, Equatable {
    /// Send the run's welcome.
    case welcome(Peer)
    /// Ask an unknown peer who it is.
    case introduce(Peer)
    /// Send something to compute.
    case grant(Peer, LeaseID, Job)
    /// Send the whole version of the parameters, as far as the send queue has room.
    case sendParameters(Peer)
    /// Send the part of the parameters that begins at a float.
    case sendPart(Peer, offset: Int)
    /// Write an evaluation to the run file. It must be safe there before any later action is taken.
    case record(MaskEvaluation, by: WorkerID)
    /// Delete evaluations from the run file: they come from an untrusted worker.
    case retract(MaskRuns)
    /// Tell a worker that the answer to a lease need not be kept.
    case acknowledge(Peer, LeaseID)
    /// Tell a worker that a lease is not needed any more.
    case cancel(Peer, LeaseID)
    /// Send a part of a blob.
    case sendChunk(Peer, WorkerMessage.BlobRange)
    /// Send a heartbeat.
    case heartbeat(Peer)
    /// Tell a worker why it is dismissed.
    case dismiss(Peer, reason: String)
    /// Tell a worker that the run is over.
    case finish(Peer)
    /// A mask will not be evaluated in this life of the coordinator.
    case setAside(mask: Int, reason: String)
    /// A lease was taken back from its worker; its open masks go to others.
    case release(LeaseID, reason: String)
    /// Record an event in the run's history that leases and evaluations do not show.
    case remember(Occurrence)
    /// Tell people.
    case note(String)
    /// Nothing is left to evaluate.
    case end(Scheduler.Outcome)

    /// An event in a run, for its history.
    public struct Occurrence: Sendable, Equatable {
        /// Its worker, if any.
        public var worker: WorkerID?
        /// Its lease, if any.
        public var lease: LeaseID?
        /// Its masks.
        public var masks: MaskRuns
        /// What happened.
        public var what: String

        /// Something that happened.
        public init(worker: WorkerID? = nil, lease: LeaseID? = nil, masks: MaskRuns = MaskRuns(), what: String) {
            self.worker = worker
            self.lease = lease
            self.masks = masks
            self.what = what
        }
    }
}

extension Scheduler {
    /// How a run ended.
    public enum Outcome: Sendable, Equatable {
        /// Every mask is recorded.
        case complete
        /// Some masks were set aside; `resume` tries them again.
        case incomplete(setAside: Int)
        /// The caller had enough before all masks were recorded.
        case stopped
    }
}
