import Shared
import Worker

/// A host that runs a worker's process, again and again.
struct SimulatedWorker {
    let id: WorkerID
    /// Counts its starts; events of an earlier process are void.
    var process = 0
    /// Nil while no process runs.
    var protocolState: WorkerProtocol?
    /// The connection's name at the coordinator; nil while closed.
    var peer: UInt64?
    /// The cache on its disk, which outlives the process.
    var cache: [Digest: [UInt8]] = [:]
    /// When its next timer is due, so that each is set once.
    var timer: Moment?
    /// Milliseconds for one mask.
    var maskMilliseconds: Int64
    /// SIGSTOP until then.
    var hangsUntil = Moment(milliseconds: 0)
    /// The line to the coordinator and the one back are cut until then.
    var upCutUntil = Moment(milliseconds: 0), downCutUntil = Moment(milliseconds: 0)
    /// Its process computes a lease that never ends.
    var computationHangs = false
    /// The parameters of a training that it loaded last.
    var loaded: (version: UInt64, row: [Float])?
    /// The parameters of each share that it computes.
    var rows: [LeaseID: [Float]] = [:]
    /// It stopped for good.
    var ending: WorkerProtocol.Ending?
}
