import Shared

/// Decides who computes what: a roster, and a policy for the events of workers.
///
/// A value without clock, socket or file. Events come in with a time, as past-tense methods, and each returns the
/// caller's actions. Masks are one policy (``Scheduler``), training steps another (``StepScheduler``).
protocol RosterPolicy {
    associatedtype Duty: Sendable

    var roster: Roster<Duty> { get set }
    /// The number of the last lease granted in this life, or 0.
    var lastLease: UInt32 { get }
    /// Whether no work is left for anybody.
    var isOver: Bool { get }

    /// The policy's data for a new worker.
    func newDuty() -> Duty
    /// Whether a former worker took no part in anything, so its entry may be reused.
    func isForgettable(_ worker: Int) -> Bool
    /// A worker says hello on a connection; a restarted one has lost its leases.
    mutating func came(_ worker: Int, isRestart: Bool)
    /// A worker's connection has changed.
    mutating func connected(_ worker: Int)
    /// A worker has become ready, or is no longer; it is connected.
    mutating func countReady(_ worker: Int, _ change: Int)
    /// A worker is no longer ready.
    mutating func stoodDown(_ worker: Int)
    /// A worker has the network and the images.
    mutating func becameReady(_ worker: Int)
    /// A worker is lost; its current work is under suspicion.
    mutating func lost(_ worker: Int, _ reason: String)
    /// A worker gives back all leases but some.
    mutating func gaveBack(_ worker: Int, keeping: [LeaseID], _ reason: String)
    /// Looks whether a worker's leases are in time.
    mutating func look(after worker: Int)
    /// A worker reports its leases; `seen` is the last lease up to which it has read everything.
    mutating func reconcile(_ worker: Int, _ held: [LeaseID], _ seen: LeaseID, _ peer: Peer)
    /// An answer, a part of one, or a failure.
    mutating func take(
        _ message: WorkerMessage, from worker: Int, _ peer: Peer, _ granted: (LeaseID) throws -> Scheduler.GrantedLease?
    ) rethrows
    /// Grants available work, at the end of every event.
    mutating func dispatch()
}

extension RosterPolicy {
    var now: Moment { roster.now }
    var actions: [ClusterAction] {
        get { roster.actions }
        _modify { yield &roster.actions }
    }
    var workers: [Roster<Duty>.Worker] {
        get { roster.workers }
        _modify { yield &roster.workers }
    }
    var peers: [Peer: Int] { roster.peers }
    var places: [Roster<Duty>.Place] {
        get { roster.places }
        _modify { yield &roster.places }
    }

    /// A worker's name for people.
    func name(_ worker: Int) -> String { roster.name(worker) }

    /// The number of a worker's witness; nil if the worker is only known from the run file.
    func witness(of worker: Int) -> Int? { workers[worker].place.map { places[$0].witness } }

    /// Records an event in the run's history that leases and evaluations do not show.
    mutating func remember(_ what: String, _ worker: Int?, lease: LeaseID? = nil, masks: MaskRuns = MaskRuns()) {
        let id = worker.map { workers[$0].id }
        actions.append(.remember(ClusterAction.Occurrence(worker: id, lease: lease, masks: masks, what: what)))
    }

    // MARK: - Events

    /// A message came from a peer of `origin`. `granted` looks up a closed lease.
    mutating func received(
        _ message: WorkerMessage, from peer: Peer, of origin: Origin, at moment: Moment,
        granted: (LeaseID) throws -> Scheduler.GrantedLease?
    ) rethrows -> [ClusterAction] {
        advance(to: moment)
        if case .hello(let hello) = message {
            greet(hello, from: peer, of: origin)
        } else if let worker = peers[peer] {
            workers[worker].lastHeard = now
            workers[worker].messages += 1
            if workers[worker].messages > roster.limits.messagesPerSecondMax {
                dismiss(worker, "it sent more than \(roster.limits.messagesPerSecondMax) messages in a second")
            } else {
                try handle(message, from: worker, peer, granted)
            }
        } else {
            actions.append(.introduce(peer))
        }
        return conclude()
    }

    /// A peer sent bytes that are not a message.
    mutating func receivedUnreadable(_ error: WireError, from peer: Peer, at moment: Moment) -> [ClusterAction] {
        advance(to: moment)
        roster.unreadable += 1
        if case .otherVersion = error {
            actions.append(.dismiss(peer, reason: error.description))
            actions.append(.note("refused a worker: \(error)"))
        } else if let worker = peers[peer] {
            workers[worker].unreadable += 1
            if workers[worker].unreadable >= roster.limits.unreadableMax {
                dismiss(worker, "it sent \(roster.limits.unreadableMax) unreadable messages, the last: \(error)")
            }
        }
        return conclude()
    }

    /// A peer cannot be reached any more.
    mutating func disconnected(_ peer: Peer, at moment: Moment) -> [ClusterAction] {
        advance(to: moment)
        if let worker = peers[peer] { lose(worker, "its connection closed") }
        return conclude()
    }

    /// The time is ``nextDeadline`` or later. `isBehind` if messages are waiting that were not received yet: then
    /// silence may be the caller's fault.
    mutating func timePassed(at moment: Moment, isBehind: Bool = false) -> [ClusterAction] {
        advance(to: moment)
        while let check = roster.checks.first, check.due <= now {
            _ = roster.checks.popFirst()
            guard workers[check.worker].session == check.session, workers[check.worker].peer != nil else { continue }
            look(after: check.worker, isBehind: isBehind)
            if workers[check.worker].peer != nil { checkLater(check.worker) }
        }
        return conclude()
    }

    /// When ``timePassed(at:)`` is due; ``Moment/never`` while nobody is connected.
    var nextDeadline: Moment { roster.checks.first?.due ?? .never }

    /// Workers connected. O(1).
    var connectedCount: Int { peers.count }

    /// The connected workers' peers, in no order.
    var connectedPeers: some Collection<Peer> { peers.keys }

    mutating func advance(to moment: Moment) { roster.now = max(roster.now, moment) }

    mutating func conclude() -> [ClusterAction] {
        dispatch()
        let result = actions
        if !result.isEmpty { actions = [] }
        return result
    }

    private mutating func handle(
        _ message: WorkerMessage, from worker: Int, _ peer: Peer, _ granted: (LeaseID) throws -> Scheduler.GrantedLease?
    ) rethrows {
        if case .goodbye(let keeping) = message {
            leave(worker, keeping: keeping)
            return
        }
        guard !isOver else {
            actions.append(.finish(peer))
            return
        }
        switch message {
        case .hello, .goodbye: break
        case .want(let range): serve(range, to: worker, peer)
        case .ready(let run): becomeReady(worker, run)
        case .heartbeat(let held, let seen): reconcile(worker, held, seen, peer)
        case .answer, .part, .failed, .wantParameters: try take(message, from: worker, peer, granted)
        }
    }

    // MARK: - Coming

    /// The index of a worker, new or known; nil if there are too many.
    mutating func index(of id: WorkerID) -> Int? {
        if let index = roster.indices[id] { return index }
        if workers.count >= roster.limits.identitiesMax {
            while let old = roster.forgettable.popFirst() {
                guard workers[old].peer == nil, isForgettable(old) else { continue }
                roster.indices[workers[old].id] = nil
                roster.indices[id] = old
                workers[old] = Roster.Worker(
                    id: id, session: workers[old].session + 1, lastHeard: now, duty: newDuty())
                return old
            }
            return nil
        }
        roster.indices[id] = workers.count
        workers.append(Roster.Worker(id: id, lastHeard: now, duty: newDuty()))
        return workers.count - 1
    }

    private mutating func greet(_ hello: WorkerMessage.Hello, from peer: Peer, of origin: Origin) {
        // One connection speaks for one worker.
        if let other = peers[peer], workers[other].id != hello.worker {
            dismiss(other, "it introduced itself as another worker")
            return
        }
        guard let place = roster.place(of: origin), let worker = index(of: hello.worker) else {
            actions.append(.dismiss(peer, reason: "this run has seen more workers or hosts than it can remember"))
            return
        }
        if let reason = refusal(of: hello, worker, at: place) {
            actions.append(.dismiss(peer, reason: reason))
            return
        }
        guard !isOver else {
            actions.append(.finish(peer))
            return
        }
        let isRestart = workers[worker].hello.map { hello.incarnation > $0.incarnation } ?? false
        if isRestart { lose(worker, "it was restarted") }
        came(worker, isRestart: isRestart)
        guard workers[worker].peer != nil || peers.count < roster.limits.workersMax else {
            actions.append(
                .dismiss(peer, reason: "\(roster.limits.workersMax) workers are connected, which is the limit"))
            return
        }
        workers[worker].hello = hello
        setStage(worker, .greeted)
        workers[worker].place = place
        connect(worker, peer)
        actions.append(.welcome(peer))
    }

    /// Why a worker is not taken, or nil.
    private func refusal(of hello: WorkerMessage.Hello, _ worker: Int, at place: Int) -> String? {
        if let known = workers[worker].place, known != place, places[known].witness != places[place].witness,
            places[known].origin.key != nil
        {
            return "a worker with the same identity has another key"
        }
        if places[place].convictions >= roster.limits.convictionsMax {
            return "\(roster.limits.convictionsMax) workers of this host and key evaluated masks wrongly"
        }
        if let reason = workers[worker].dismissed { return reason }
        if !isOver, let known = workers[worker].hello, hello.incarnation < known.incarnation {
            return "a worker with the same identity was started later; give each worker its own cache folder"
        }
        return nil
    }

    private mutating func connect(_ worker: Int, _ peer: Peer) {
        workers[worker].lastHeard = now
        connected(worker)
        guard workers[worker].peer != peer else { return }
        if let old = workers[worker].peer { roster.peers[old] = nil }
        roster.peers[peer] = worker
        workers[worker].peer = peer
        workers[worker].session += 1
        workers[worker].servedBytes = 0
        workers[worker].messages = 0
        remember("joined", worker)
        if roster.notesArrivals { actions.append(.note("\(name(worker)) joined")) }
        checkLater(worker)
    }

    /// Workers are welcomed anew, to something else; none is ready for it.
    mutating func changeWelcome(_ welcome: CoordinatorMessage.Welcome) {
        roster.change(welcome)
        for (peer, worker) in peers.sorted(by: { $0.value < $1.value }) {
            setStage(worker, .greeted)
            workers[worker].servedBytes = 0
            actions.append(.welcome(peer))
        }
    }

    private mutating func becomeReady(_ worker: Int, _ run: RunID) {
        guard run == roster.welcome.run else {
            // What it was ready for may have changed on the way.
            guard roster.formerRuns.contains(run), let peer = workers[worker].peer else {
                misbehave(worker, "it is ready for another run")
                return
            }
            // The welcome to what there is now may have been lost.
            actions.append(.welcome(peer))
            return
        }
        guard workers[worker].stage == .greeted else { return }
        setStage(worker, .ready)
        remember("is ready", worker)
        becameReady(worker)
    }

    private mutating func setStage(_ worker: Int, _ stage: WorkerStage) {
        if workers[worker].peer != nil, workers[worker].stage == .ready { countReady(worker, -1) }
        workers[worker].stage = stage
        if stage != .ready { stoodDown(worker) }
        if workers[worker].peer != nil, stage == .ready { countReady(worker, 1) }
    }

    private mutating func serve(_ range: WorkerMessage.BlobRange, to worker: Int, _ peer: Peer) {
        guard let blob = roster.welcome.blobs.first(where: { $0.digest == range.digest }) else {
            guard roster.formerBlobs.contains(range.digest) else {
                misbehave(worker, "it asked for bytes that do not exist")
                return
            }
            // It does not know yet that it needs others now.
            actions.append(.welcome(peer))
            return
        }
        guard range.length > 0, range.offset < blob.size, UInt64(range.length) <= blob.size - range.offset else {
            misbehave(worker, "it asked for bytes that do not exist")
            return
        }
        workers[worker].servedBytes += UInt64(range.length)
        guard workers[worker].servedBytes <= roster.servedBytesMax else {
            dismiss(worker, "it downloaded the network and the images again and again")
            return
        }
        actions.append(.sendChunk(peer, range))
    }

    // MARK: - Going

    /// Checks whether a worker is alive and its leases are in time, and sends it a heartbeat.
    private mutating func look(after worker: Int, isBehind: Bool) {
        workers[worker].messages = 0
        let patience = Int64(roster.welcome.heartbeatMilliseconds * roster.welcome.liveness)
        let silence = now - workers[worker].lastHeard
        // How many times longer a worker may be silent while its messages may be waiting to be received.
        let patienceBehind: Int64 = 10
        if silence > (isBehind ? patience * patienceBehind : patience) {
            lose(worker, "it was silent for \(silence) ms")
            return
        }
        look(after: worker)
        if let peer = workers[worker].peer { actions.append(.heartbeat(peer)) }
    }

    private mutating func checkLater(_ worker: Int) {
        let due = now + Int64(roster.welcome.heartbeatMilliseconds)
        roster.checks.append((due, worker, workers[worker].session))
    }

    /// A worker is gone; others get its work.
    private mutating func lose(_ worker: Int, _ reason: String) {
        guard let peer = workers[worker].peer else { return }
        part(worker, from: peer)
        roster.losses += 1
        remember("is gone: \(reason)", worker)
        actions.append(.note("\(name(worker)) is gone: \(reason)"))
        lost(worker, reason)
        gone(worker)
    }

    private mutating func part(_ worker: Int, from peer: Peer) {
        setStage(worker, .greeted)
        roster.peers[peer] = nil
        workers[worker].peer = nil
    }

    private mutating func gone(_ worker: Int) {
        if peers.isEmpty { roster.lastWorkerGoneAt = now }
        roster.forgettable.append(worker)
    }

    private mutating func leave(_ worker: Int, keeping: [LeaseID]) {
        setStage(worker, .leaving)
        gaveBack(worker, keeping: keeping, "it is leaving")
        guard keeping.isEmpty, let peer = workers[worker].peer else { return }
        part(worker, from: peer)
        remember("left", worker)
        actions.append(.note("\(name(worker)) left"))
        gone(worker)
    }

    /// A worker sent something that an honest one does not send.
    mutating func misbehave(_ worker: Int, _ what: String) {
        workers[worker].malformed += 1
        actions.append(.note("\(name(worker)): \(what)"))
        remember("misbehaved: \(what)", worker)
        if workers[worker].malformed >= roster.limits.malformedMax { dismiss(worker, what) }
    }

    mutating func dismiss(_ worker: Int, _ reason: String) {
        guard workers[worker].dismissed == nil else { return }
        workers[worker].dismissed = reason
        roster.dismissals += 1
        remember("dismissed: \(reason)", worker)
        actions.append(.note("\(name(worker)) dismissed: \(reason)"))
        if let peer = workers[worker].peer { actions.append(.dismiss(peer, reason: reason)) }
        // The jobs are not to blame for its behaviour.
        gaveBack(worker, keeping: [], "it was dismissed")
        lose(worker, "it was dismissed")
    }
}
