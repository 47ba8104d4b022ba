import Shared

extension Scheduler {
    /// What is known of a worker, connected or not.
    struct Worker: Sendable {
        /// How far it is.
        enum Stage: Sendable { case greeted, ready, leaving }

        let id: WorkerID
        /// The number of its origin; nil where it is only known from the run file.
        var place: Int?
        var hello: WorkerMessage.Hello?
        /// Where it is connected; nil where it is gone.
        var peer: Peer?
        /// Counts its connections, so that what is about an earlier one is void.
        var session = 0
        var stage = Stage.greeted
        /// The numbers of its open leases, the oldest first; that is the one it computes.
        var leases: [UInt32] = []
        var secondsPerMask: Double?
        /// The group of masks that it has for itself.
        var group: Int?
        /// Masks of its largest answered lease: the next one may be a few times larger.
        var batch = 0
        var lastHeard: Moment
        var messages = 0
        var servedBytes: UInt64 = 0
        var evaluations = 0
        var leasesGranted = 0
        var failedLeases = 0
        /// Answers without an evaluation, one after the other.
        var emptyAnswers = 0
        /// It gets nothing until then.
        var restsUntil: Moment?
        var malformed = 0
        var unreadable = 0
        var disagreements = 0
        /// It missed a deadline and gets nothing until it answers.
        var overdue = false
        /// It is in one of the queues of hungry workers.
        var queued = false
        /// Why it must not come back.
        var dismissed: String?
        /// The masks that are blamed for its silence; nobody is to blame if it comes back.
        var blamed = MaskRuns()
    }

    /// A worker's name for people.
    func name(_ worker: Int) -> String {
        let short = workers[worker].id.description.prefix(8)
        guard let host = workers[worker].hello?.host, !host.isEmpty else { return "worker \(short)" }
        return "worker \(short) on \(host)"
    }

    /// The index of a worker, new or known; nil where there are too many.
    mutating func index(of id: WorkerID) -> Int? {
        if let index = indices[id] { return index }
        if workers.count >= policy.identitiesMax {
            while let old = forgettable.popFirst() {
                guard isForgettable(old) else { continue }
                indices[workers[old].id] = nil
                indices[id] = old
                workers[old] = Worker(id: id, session: workers[old].session + 1, lastHeard: now)
                return old
            }
            return nil
        }
        indices[id] = workers.count
        workers.append(Worker(id: id, lastHeard: now))
        return workers.count - 1
    }

    /// Whether a worker is gone and had no part in anything: whoever comes and goes under ever new names takes no room.
    private func isForgettable(_ worker: Int) -> Bool {
        let it = workers[worker]
        return it.peer == nil && it.evaluations == 0 && it.leases.isEmpty && it.blamed.isEmpty && !it.queued
            && it.group == nil && !resting.contains(worker)
    }

    // MARK: - Coming

    mutating func greet(_ hello: WorkerMessage.Hello, from peer: Peer, of origin: Origin) {
        // One connection speaks for one worker.
        if let other = peers[peer], workers[other].id != hello.worker {
            dismiss(other, "it introduced itself as another worker")
            return
        }
        guard let place = place(of: origin), let worker = index(of: hello.worker) else {
            actions.append(.dismiss(peer, reason: "this run has seen more workers or hosts than it can remember"))
            return
        }
        if let known = workers[worker].place, known != place, places[known].witness != places[place].witness,
            places[known].origin.key != nil
        {
            actions.append(.dismiss(peer, reason: "a worker with the same identity has another key"))
            return
        }
        if places[place].convictions >= policy.convictionsMax {
            let reason = "\(policy.convictionsMax) workers of this host and key evaluated masks wrongly"
            actions.append(.dismiss(peer, reason: reason))
            return
        }
        if let reason = workers[worker].dismissed {
            actions.append(.dismiss(peer, reason: reason))
            return
        }
        if outcome != nil {
            actions.append(.finish(peer))
            return
        }
        let known = workers[worker].hello
        if let known, hello.incarnation < known.incarnation {
            let reason = "a worker with the same identity was started later; give each worker its own cache folder"
            actions.append(.dismiss(peer, reason: reason))
            return
        }
        let isRestart = known.map { hello.incarnation > $0.incarnation } ?? false
        if isRestart {
            lose(worker, "it was restarted")
            workers[worker].blamed = MaskRuns()
        } else {
            forgive(worker)
        }
        guard workers[worker].peer != nil || peers.count < policy.workersMax else {
            actions.append(.dismiss(peer, reason: "\(policy.workersMax) workers are connected, which is the limit"))
            return
        }
        workers[worker].hello = hello
        setStage(worker, .greeted)
        workers[worker].place = place
        connect(worker, peer)
        actions.append(.welcome(peer))
    }

    private mutating func connect(_ worker: Int, _ peer: Peer) {
        workers[worker].lastHeard = now
        setOverdue(worker, false)
        guard workers[worker].peer != peer else { return }
        if let old = workers[worker].peer { peers[old] = nil }
        peers[peer] = worker
        workers[worker].peer = peer
        workers[worker].session += 1
        workers[worker].servedBytes = 0
        workers[worker].messages = 0
        remember("joined", worker)
        actions.append(.note("\(name(worker)) joined"))
        checkLater(worker)
    }

    mutating func becomeReady(_ worker: Int, _ run: RunID) {
        guard run == welcome.run else {
            misbehave(worker, "it is ready for another run")
            return
        }
        guard workers[worker].stage == .greeted else { return }
        setStage(worker, .ready)
        remember("is ready", worker)
        rest(worker)
        queue(worker)
    }

    mutating func setStage(_ worker: Int, _ stage: Worker.Stage) {
        if workers[worker].peer != nil, workers[worker].stage == .ready { countReady(worker, -1) }
        workers[worker].stage = stage
        if stage != .ready { giveUpGroup(of: worker) }
        if workers[worker].peer != nil, stage == .ready { countReady(worker, 1) }
    }

    mutating func serve(_ range: WorkerMessage.BlobRange, to worker: Int, _ peer: Peer) {
        guard let blob = welcome.blobs.first(where: { $0.digest == range.digest }), range.length > 0,
            range.offset < blob.size, UInt64(range.length) <= blob.size - range.offset
        else {
            misbehave(worker, "it asked for bytes that do not exist")
            return
        }
        // Enough for several downloads that fail and begin again.
        let bytesMax = welcome.blobs.reduce(64 << 20) { $0 + 8 * $1.size }
        workers[worker].servedBytes += UInt64(range.length)
        guard workers[worker].servedBytes <= bytesMax else {
            dismiss(worker, "it downloaded the network and the images again and again")
            return
        }
        actions.append(.sendChunk(peer, range))
    }

    // MARK: - Going

    /// Looks whether a worker still lives and its leases are in time, and tells it that we do.
    mutating func look(after worker: Int, isBehind: Bool) {
        workers[worker].messages = 0
        let patience = Int64(welcome.heartbeatMilliseconds * welcome.liveness)
        let silence = now - workers[worker].lastHeard
        if silence > (isBehind ? patience * Self.patienceBehind : patience) {
            lose(worker, "it was silent for \(silence) ms")
            return
        }
        expireLeases(of: worker)
        if let peer = workers[worker].peer { actions.append(.heartbeat(peer)) }
    }

    /// How many times as long a worker may be silent while its messages may wait to be received.
    private static let patienceBehind: Int64 = 10

    mutating func checkLater(_ worker: Int) {
        checks.append((now + Int64(welcome.heartbeatMilliseconds), worker, workers[worker].session))
    }

    /// A worker is gone; its masks are leased again. What it computed is under suspicion.
    mutating func lose(_ worker: Int, _ reason: String) {
        guard let peer = workers[worker].peer else { return }
        setStage(worker, .greeted)
        peers[peer] = nil
        workers[worker].peer = nil
        figures.losses += 1
        remember("is gone: \(reason)", worker)
        actions.append(.note("\(name(worker)) is gone: \(reason)"))
        if let computed = workers[worker].leases.first { blame(computed, "\(name(worker)) was lost: \(reason)") }
        for number in workers[worker].leases { release(number, reason) }
        gone(worker)
    }

    private mutating func gone(_ worker: Int) {
        if peers.isEmpty { lastWorkerGoneAt = now }
        if workers[worker].evaluations == 0 { forgettable.append(worker) }
    }

    mutating func leave(_ worker: Int, keeping: [LeaseID]) {
        setStage(worker, .leaving)
        for number in workers[worker].leases where !keeping.contains(LeaseID(life: welcome.life, number: number)) {
            release(number, "it is leaving")
        }
        guard keeping.isEmpty, let peer = workers[worker].peer else { return }
        setStage(worker, .greeted)
        peers[peer] = nil
        workers[worker].peer = nil
        remember("left", worker)
        actions.append(.note("\(name(worker)) left"))
        gone(worker)
    }

    /// A worker sent something that an honest one does not send.
    mutating func misbehave(_ worker: Int, _ what: String) {
        workers[worker].malformed += 1
        actions.append(.note("\(name(worker)): \(what)"))
        remember("misbehaved: \(what)", worker)
        if workers[worker].malformed >= policy.malformedMax { dismiss(worker, what) }
    }

    mutating func dismiss(_ worker: Int, _ reason: String) {
        guard workers[worker].dismissed == nil else { return }
        workers[worker].dismissed = reason
        figures.dismissals += 1
        remember("dismissed: \(reason)", worker)
        actions.append(.note("\(name(worker)) dismissed: \(reason)"))
        if let peer = workers[worker].peer { actions.append(.dismiss(peer, reason: reason)) }
        // The masks are not to blame for what it did.
        for number in workers[worker].leases { release(number, "it was dismissed") }
        lose(worker, "it was dismissed")
    }
}
