import Shared

/// A worker's protocol; knows neither clock nor socket nor file nor network.
///
/// Events come in with a time, as past-tense methods, and each returns the caller's actions. Two things change
/// independently, since computing continues while the coordinator is away. The link:
///
/// ```
///            backoff over             welcome
///  offline ───────────────▶ greeting ─────────▶ online
///     ▲                      │   ▲                │
///     │ no welcome           │   └────────────────┤ the coordinator does not know this worker any more
///     └──────────────────────┘◀───────────────────┘ it is silent
/// ```
///
/// and the work:
///
/// ```
///  none ─ welcome ─▶ fetching ─ all blobs checked ─▶ preparing ─ prepared ─▶ prepared
/// ```
///
/// A run with another identity starts the work over. Answers are kept and resent until acknowledged. Jobs of a training
/// need a version of its parameters, which the coordinator sends first; the worker requests what is missing.
public struct WorkerProtocol: Sendable {
    /// The caller's actions, in this order.
    public enum Action: Sendable, Equatable {
        /// Open a new connection.
        case connect
        /// Close the connection.
        case disconnect
        /// Send a message.
        case send(WorkerMessage)
        /// Check whether a blob is here, completely or in part, and report it with
        /// ``blobLocated(_:bytes:isWhole:at:)``.
        case locate(CoordinatorMessage.Blob)
        /// Write a part of a blob; parts come in the order of their offsets, so the written bytes are a prefix.
        case store(CoordinatorMessage.Chunk)
        /// Compare a complete blob with its digest and report it with ``blobChecked(_:isRight:at:)``.
        case check(CoordinatorMessage.Blob)
        /// Load the network and the images and report it with ``prepared(_:at:)`` or ``preparationFailed(_:at:)``.
        case prepare(CoordinatorMessage.Welcome)
        /// Take a version of a training's parameters for the next jobs.
        case load(version: UInt64, [Float])
        /// Compute a job and report it with ``computed(_:_:row:failures:microseconds:at:)`` or
        /// ``computationFailed(_:reason:at:)``. There is one lease of masks at a time, shared by all threads; in a
        /// training, each thread has a job of its own.
        case compute(CoordinatorMessage.Lease)
        /// Stop computing a lease, and report with ``abandoned(_:at:)`` (or with its late end) that this is done:
        /// nothing else is computed before, and the coordinator grants nothing to a worker that cannot stop.
        case abandon(LeaseID)
        /// Tell people.
        case note(String)
        /// End the program; nothing happens any more.
        case stop(Ending)
    }

    /// How a worker's life ends.
    public enum Ending: Sendable, Equatable {
        /// The run is over.
        case finished
        /// It was asked to stop and said goodbye.
        case left
        /// The coordinator does not want it, or cannot talk with it.
        case refused(reason: String)
        /// It cannot do its work.
        case failed(reason: String)
    }

    /// The connection to the coordinator.
    enum Link: Sendable, Equatable {
        case offline(until: Moment)
        case greeting(until: Moment, helloAt: Moment)
        case online
    }

    /// How far the network and the images are here.
    enum Work: Sendable, Equatable {
        case none
        case fetching(Fetch)
        case preparing
        case prepared
    }

    /// An unacknowledged answer.
    struct Answer: Sendable, Equatable {
        var message: WorkerMessage.Answer
        /// The parts sent before it.
        var row: [Float]
        var sentAt: Moment
    }

    /// The wait after the first failed attempt to reach the coordinator; it doubles with each further one …
    static let backoffMillisecondsMin: Int64 = 1000
    /// … up to this.
    static let backoffMillisecondsMax: Int64 = 32_000
    /// How long a welcome may take.
    static let greetingMilliseconds: Int64 = 4000
    /// An unacknowledged answer or an unanswered request is repeated after this.
    static let repeatMilliseconds: Int64 = 5000
    /// The most answers to keep; the oldest go first, since others have long had their jobs.
    static let answersMax = 32
    /// Floats of the rows of kept answers, besides the last one.
    static let answerFloatsMax = 64 << 20
    /// Waiting leases, besides those of which each thread computes one.
    static let waitingMax = 16
    /// The most requested parts of parameters at a time.
    static let rowPartsMax = 4

    /// This worker's hello. The caller may change the speed once it is measured.
    public var hello: WorkerMessage.Hello
    /// How long it continues after it was asked to stop.
    let graceMilliseconds: Int64
    /// Bytes of a blob to request at a time.
    let partBytes: Int
    /// Floats of a part of a row, on both sides.
    let partFloats: Int

    var link: Link
    var work = Work.none
    var run: CoordinatorMessage.Welcome?
    /// The last lease that the coordinator's heartbeats named in this life of it.
    var seen = LeaseID(life: 0, number: 0)
    var computing: [CoordinatorMessage.Lease] = []
    /// Cancelled leases that still keep computing threads.
    var abandoned: [LeaseID] = []
    var waiting: [CoordinatorMessage.Lease] = []
    /// The latest version of the parameters, complete or in part.
    var row: RowAssembly?
    /// Offsets of its requested parts, and when.
    var rowAsked: [Int: Moment] = [:]
    var answers: [Answer] = []
    var tries = 0
    var lastHeard: Moment
    var nextHeartbeat: Moment
    /// When it stops at last, once asked to.
    var leavesAt: Moment?
    var ending: Ending?
    var now: Moment
    var actions: [Action] = []

    /// A worker that connects at the first ``timePassed(at:)``.
    public init(
        hello: WorkerMessage.Hello, graceMilliseconds: Int64 = 15_000, partBytes: Int = Wire.chunkBytesMax,
        partFloats: Int = RowPart.floatsMax, at now: Moment
    ) {
        self.hello = hello
        self.graceMilliseconds = graceMilliseconds
        self.partBytes = partBytes
        self.partFloats = partFloats
        self.now = now
        link = .offline(until: now)
        lastHeard = now
        nextHeartbeat = now
    }

    // MARK: - Events of the connection

    /// A message came.
    public mutating func received(_ message: CoordinatorMessage, at moment: Moment) -> [Action] {
        guard advance(to: moment) else { return [] }
        if case .offline = link { return [] }
        lastHeard = now
        switch message {
        case .welcome(let welcome): enter(welcome)
        case .introduce: introduce()
        case .chunk(let chunk): take(chunk)
        case .lease(let lease): take(lease)
        case .parameters(let part): take(part)
        case .acknowledged(let lease):
            answers.removeAll { $0.message.lease == lease }
            leaveIfDone()
        case .cancel(let lease): cancel(lease)
        case .heartbeat(let life, let lease): takeHeartbeat(life, lease)
        case .dismissed(let reason): stop(.refused(reason: reason))
        case .finished:
            send(.goodbye(keeping: []))
            stop(.finished)
        }
        return conclude()
    }

    /// The coordinator sent bytes that are not a message.
    public mutating func receivedUnreadable(_ error: WireError, at moment: Moment) -> [Action] {
        guard advance(to: moment) else { return [] }
        if case .otherVersion = error {
            stop(.refused(reason: error.description))
        } else {
            actions.append(.note("dropped \(error)"))
        }
        return conclude()
    }

    /// The time is ``nextDeadline`` or later.
    public mutating func timePassed(at moment: Moment) -> [Action] {
        guard advance(to: moment) else { return [] }
        switch link {
        case .offline(let until): if until <= now { connect() }
        case .greeting(let until, let helloAt):
            if until <= now {
                hangUp("no welcome from the coordinator")
            } else if helloAt + heartbeatMilliseconds <= now {
                sendHello(until: until)
            }
        case .online:
            if now - lastHeard > heartbeatMilliseconds * Int64(run?.liveness ?? 3) {
                hangUp("the coordinator is silent")
            } else if nextHeartbeat <= now {
                beat()
            }
        }
        if let leavesAt, leavesAt <= now { leave() }
        return conclude()
    }

    /// The person or the system at this host wants the worker to end. The first time it returns what it has not begun
    /// and finishes the current work, the second time it leaves at once.
    public mutating func stopRequested(at moment: Moment) -> [Action] {
        guard advance(to: moment) else { return [] }
        if leavesAt != nil {
            leave()
        } else {
            leavesAt = now + graceMilliseconds
            waiting = []
            if !computing.isEmpty || !answers.isEmpty { send(.goodbye(keeping: held)) }
            leaveIfDone()
        }
        return conclude()
    }

    /// When ``timePassed(at:)`` is due.
    public var nextDeadline: Moment {
        guard ending == nil else { return .never }
        let linkDeadline =
            switch link {
            case .offline(let until): until
            case .greeting(let until, let helloAt): min(until, helloAt + heartbeatMilliseconds)
            case .online: nextHeartbeat
            }
        return min(linkDeadline, leavesAt ?? .never)
    }

    /// How it ended, once it has.
    public var ended: Ending? { ending }

    // MARK: - Around every event

    /// False if all is over.
    mutating func advance(to moment: Moment) -> Bool {
        now = max(now, moment)
        return ending == nil
    }

    mutating func conclude() -> [Action] {
        let result = actions
        if !result.isEmpty { actions = [] }
        return result
    }

    mutating func stop(_ how: Ending) {
        guard ending == nil else { return }
        for lease in computing { actions.append(.abandon(lease.lease)) }
        ending = how
        actions.append(.stop(how))
    }

    // MARK: - The link

    var heartbeatMilliseconds: Int64 { Int64(run?.heartbeatMilliseconds ?? 1000) }

    var isOnline: Bool { link == .online }

    /// Leases here: abandoned, computing, waiting, answered but not acknowledged.
    var held: [LeaseID] {
        abandoned + (computing + waiting).map(\.lease) + answers.map(\.message.lease)
    }

    /// Sends if there is a connection.
    mutating func send(_ message: WorkerMessage) { if isOnline { actions.append(.send(message)) } }

    private mutating func connect() {
        actions.append(.connect)
        lastHeard = now
        greet()
    }

    private mutating func greet() { sendHello(until: now + Self.greetingMilliseconds) }

    private mutating func sendHello(until: Moment) {
        link = .greeting(until: until, helloAt: now)
        actions.append(.send(.hello(hello)))
    }

    private mutating func takeHeartbeat(_ life: UInt32, _ lease: UInt32) {
        if life == run?.life {
            seen = LeaseID(life: life, number: seen.life == life ? max(seen.number, lease) : lease)
        } else if isOnline {
            greet()
        }
    }

    /// The coordinator asks who is here. Several messages may have triggered that; one answer is enough.
    private mutating func introduce() {
        if case .greeting(_, let helloAt) = link, now - helloAt < heartbeatMilliseconds / 2 { return }
        greet()
    }

    private mutating func hangUp(_ reason: String) {
        let longest = min(Self.backoffMillisecondsMin << Int64(min(tries, 5)), Self.backoffMillisecondsMax)
        // Workers that lost the coordinator together should not return together: 3/4 to 5/4 of it, by identity and
        // attempt.
        let spread = ((hello.worker.low &+ UInt64(tries)) &* 0x9E37_79B9_7F4A_7C15) >> 48
        let backoff = longest * 3 / 4 + longest * Int64(spread) / (2 << 16)
        tries += 1
        link = .offline(until: now + backoff)
        if case .fetching(var fetch) = work {
            fetch.asked = [:]
            work = .fetching(fetch)
        }
        actions.append(.disconnect)
        actions.append(.note("\(reason); next try in \(backoff) ms"))
    }

    private mutating func beat() {
        nextHeartbeat = now + heartbeatMilliseconds
        send(.heartbeat(held, seen: seen))
        for index in answers.indices where now - answers[index].sentAt >= Self.repeatMilliseconds {
            send(answerAt: index)
        }
        switch work {
        case .fetching: askForParts()
        case .prepared:
            askForParameters()
            // The first `ready` may have been lost.
            if held.isEmpty { sendReady() }
        case .none, .preparing: break
        }
    }

    func isSame(_ a: CoordinatorMessage.Welcome, _ b: CoordinatorMessage.Welcome) -> Bool {
        var a = a
        a.life = b.life
        return a == b
    }

    /// The coordinator described the work: start, or continue where the same run was left.
    private mutating func enter(_ welcome: CoordinatorMessage.Welcome) {
        let known = run
        run = welcome
        link = .online
        tries = 0
        nextHeartbeat = now + heartbeatMilliseconds
        if let known, isSame(known, welcome) {
            // Leases of an earlier life of the coordinator are void; nearly finished masks are still welcome.
            if known.life != welcome.life {
                waiting = []
                if welcome.training != nil { forgetSteps() }
            }
            for index in answers.indices { send(answerAt: index) }
        } else {
            forgetSteps()
            waiting = []
            work = .none
        }
        if leavesAt != nil {
            send(.goodbye(keeping: held))
            leaveIfDone()
            return
        }
        switch work {
        case .none: beginFetching(welcome)
        case .fetching: askForParts()
        case .preparing: break
        case .prepared: sendReady()
        }
    }

    mutating func sendReady() {
        guard let run, leavesAt == nil else { return }
        send(.ready(run.run))
    }

    // MARK: - Leaving

    mutating func leaveIfDone() {
        guard leavesAt != nil, computing.isEmpty, answers.isEmpty else { return }
        leave()
    }

    private mutating func leave() {
        send(.goodbye(keeping: []))
        stop(.left)
    }
}
