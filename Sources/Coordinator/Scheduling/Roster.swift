import Shared

/// Who takes part in a run: workers, their connections, and where they come from. `Duty` is what a policy keeps of each.
///
/// A worker's life: hello → greeted (fetches network and images) → ready → leaving or lost; a lost worker may come back with
/// another hello, a dismissed one may not. What happens then is the same whatever is computed: ``RosterPolicy``.
struct Roster<Duty: Sendable>: Sendable {
    /// What is known of a worker, connected or not.
    @dynamicMemberLookup
    struct Worker: Sendable {
        let id: WorkerID
        /// The number of its origin; nil where it is only known from the run file.
        var place: Int?
        var hello: WorkerMessage.Hello?
        /// Where it is connected; nil where it is gone.
        var peer: Peer?
        /// Counts its connections, so that what is about an earlier one is void.
        var session = 0
        var stage = WorkerStage.greeted
        var lastHeard: Moment
        var messages = 0
        var servedBytes: UInt64 = 0
        var malformed = 0
        var unreadable = 0
        /// Why it must not come back.
        var dismissed: String?
        /// What the policy keeps of it.
        var duty: Duty

        subscript<Value>(dynamicMember path: WritableKeyPath<Duty, Value>) -> Value {
            get { duty[keyPath: path] }
            _modify { yield &duty[keyPath: path] }
        }
    }

    /// What is known of an origin.
    struct Place: Sendable {
        let origin: Origin
        /// The number of its witness.
        let witness: Int
        /// Its workers that died or hung one after the other without an answer between.
        var deathsInRow = 0
        /// Whether one of its workers has answered since the last one died.
        var hasAnswered = false
        /// Its workers that were dismissed for wrong evaluations.
        var convictions = 0
    }

    /// The run, the coordinator's life, and how often both sides speak.
    private(set) var welcome: CoordinatorMessage.Welcome
    let limits: RosterLimits
    var workers: [Worker] = []
    var indices: [WorkerID: Int] = [:]
    var peers: [Peer: Int] = [:]
    var places: [Place] = []
    var placeIndices: [Origin: Int] = [:]
    var witnessIndices: [String: Int] = [:]
    /// Workers that are gone and had no part in anything, whose entries others may get.
    var forgettable = Queue<Int>()
    /// When to look after each connected worker again; all wait the same time, so the first is always next.
    var checks = Queue<(due: Moment, worker: Int, session: Int)>()
    var now: Moment
    let startedAt: Moment
    var lastWorkerGoneAt: Moment?
    /// Whether people are told who joined.
    var notesArrivals = true
    var actions: [ClusterAction] = []
    /// Workers that were gone, workers dismissed, and messages that could not be read.
    var losses = 0, dismissals = 0, unreadable = 0
    /// Bytes of blobs that one connection may take: enough for several downloads that fail and begin again.
    private(set) var servedBytesMax: UInt64
    /// What workers were welcomed to before.
    private(set) var formerRuns: Set<RunID> = []

    init(welcome: CoordinatorMessage.Welcome, limits: RosterLimits, at now: Moment) {
        self.welcome = welcome
        self.limits = limits
        self.now = now
        startedAt = now
        servedBytesMax = Self.servedBytesMax(of: welcome)
    }

    private static func servedBytesMax(of welcome: CoordinatorMessage.Welcome) -> UInt64 {
        welcome.blobs.reduce(64 << 20) { $0 + 8 * $1.size }
    }

    /// Workers are welcomed to something else from now on.
    mutating func change(_ welcome: CoordinatorMessage.Welcome) {
        formerRuns.insert(self.welcome.run)
        self.welcome = welcome
        servedBytesMax = Self.servedBytesMax(of: welcome)
    }

    /// A worker's name for people.
    func name(_ worker: Int) -> String {
        let short = workers[worker].id.description.prefix(8)
        guard let host = workers[worker].hello?.host, !host.isEmpty else { return "worker \(short)" }
        return "worker \(short) on \(host)"
    }

    /// The number of an origin, new or known; nil where there are too many.
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
    /// Answers without a meaning for which a worker is dismissed.
    public var malformedMax = 3
    /// Unreadable messages for which a worker is dismissed.
    public var unreadableMax = 100
    /// Messages in one second for which a worker is dismissed.
    public var messagesPerSecondMax = 50_000
    /// Workers of one place convicted of wrong evaluations after which no other of it is taken.
    public var convictionsMax = 3
    /// Workers connected at one time.
    public var workersMax = 10_000
    /// Different workers in one life of the coordinator that have answered or are there.
    public var identitiesMax = 1 << 18
    /// Different keys and addresses in one life of the coordinator.
    public var originsMax = 1 << 16

    /// The usual limits.
    public init() {}
}
