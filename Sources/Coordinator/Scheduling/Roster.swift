import Shared

/// The workers of a run, their connections, and their origins. `Duty` is a policy's data for each.
///
/// A worker's life: hello → greeted (fetches network and images) → ready → leaving or lost; a lost worker may return
/// with another hello, a dismissed one may not. ``RosterPolicy`` handles this alike for all work.
struct Roster<Duty: Sendable>: Sendable {
    /// A worker's state, connected or not.
    @dynamicMemberLookup
    struct Worker: Sendable {
        let id: WorkerID
        /// The number of its origin; nil if it is only known from the run file.
        var place: Int?
        var hello: WorkerMessage.Hello?
        /// Its connection; nil if it is gone.
        var peer: Peer?
        /// Counts its connections, so that events of an earlier one are void.
        var session = 0
        var stage = WorkerStage.greeted
        var lastHeard: Moment
        var messages = 0
        var servedBytes: UInt64 = 0
        var malformed = 0
        var unreadable = 0
        /// Why it must not come back.
        var dismissed: String?
        /// The policy's data for it.
        var duty: Duty

        subscript<Value>(dynamicMember path: WritableKeyPath<Duty, Value>) -> Value {
            get { duty[keyPath: path] }
            _modify { yield &duty[keyPath: path] }
        }
    }

    /// An origin's state.
    struct Place: Sendable {
        let origin: Origin
        /// The number of its witness.
        let witness: Int
        /// Its workers that died or hung in succession without an answer between.
        var deathsInRow = 0
        /// Whether one of its workers has answered since the last one died.
        var hasAnswered = false
        /// Its workers that were dismissed for wrong evaluations.
        var convictions = 0
    }

    /// The run, the coordinator's life, and how often both sides speak.
    let welcome: CoordinatorMessage.Welcome
    let limits: RosterLimits
    var workers: [Worker] = []
    var indices: [WorkerID: Int] = [:]
    var peers: [Peer: Int] = [:]
    var places: [Place] = []
    var placeIndices: [Origin: Int] = [:]
    var witnessIndices: [String: Int] = [:]
    /// Former workers that took no part in anything, whose entries may be reused.
    var forgettable = Queue<Int>()
    /// When to check each connected worker again; all wait the same time, so the first is always next.
    var checks = Queue<(due: Moment, worker: Int, session: Int)>()
    var now: Moment
    let startedAt: Moment
    var lastWorkerGoneAt: Moment?
    var actions: [ClusterAction] = []
    /// Workers lost, workers dismissed, and unreadable messages.
    var losses = 0, dismissals = 0, unreadable = 0
    /// Bytes of blobs per connection: enough for several downloads that fail and restart.
    let servedBytesMax: UInt64

    init(welcome: CoordinatorMessage.Welcome, limits: RosterLimits, at now: Moment) {
        self.welcome = welcome
        self.limits = limits
        self.now = now
        startedAt = now
        servedBytesMax = welcome.blobs.reduce(64 << 20) { $0 + 8 * $1.size }
    }

    /// A worker's name for people.
    func name(_ worker: Int) -> String {
        let short = workers[worker].id.description.prefix(8)
        guard let host = workers[worker].hello?.host, !host.isEmpty else { return "worker \(short)" }
        return "worker \(short) on \(host)"
    }

    /// The number of an origin, new or known; nil if there are too many.
    mutating func place(of origin: Origin) -> Int? {
        if let place = placeIndices[origin] { return place }
        guard places.count < limits.originsMax else { return nil }
        let witness = witnessIndices[origin.witness] ?? witnessIndices.count
        witnessIndices[origin.witness] = witness
        placeIndices[origin] = places.count
        places.append(Place(origin: origin, witness: witness))
        return places.count - 1
    }
}

/// How far a worker is.
enum WorkerStage: Sendable { case greeted, ready, leaving }

/// The limits of what peers may do.
public struct RosterLimits: Sendable {
    /// Meaningless answers after which a worker is dismissed.
    public var malformedMax = 3
    /// Unreadable messages after which a worker is dismissed.
    public var unreadableMax = 100
    /// Messages in one second after which a worker is dismissed.
    public var messagesPerSecondMax = 50_000
    /// Workers of one place convicted of wrong evaluations after which the place is refused.
    public var convictionsMax = 3
    /// Workers connected at one time.
    public var workersMax = 10_000
    /// Different workers in one life of the coordinator that have answered or are connected.
    public var identitiesMax = 1 << 18
    /// Different keys and addresses in one life of the coordinator.
    public var originsMax = 1 << 16

    /// The usual limits.
    public init() {}
}
