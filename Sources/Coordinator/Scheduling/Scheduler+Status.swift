import Shared

extension Scheduler {
    /// The state of a run, for the progress line and the live page.
    public struct Snapshot: Sendable, Equatable {
        /// One worker that is connected.
        public struct Worker: Sendable, Equatable {
            /// Its identity.
            public var id: WorkerID
            /// Its host's name.
            public var host: String
            /// Its kernels' instruction set.
            public var instructionSet: String
            /// Threads that compute.
            public var threads: Int
            /// `fetching`, `computing`, `idle`, `overdue`, `resting` or `leaving`.
            public var state: String
            /// Masks per second, or nil while not known.
            public var masksPerSecond: Double?
            /// Open leases.
            public var leases: Int
            /// Evaluations that it sent.
            public var evaluations: Int
            /// Milliseconds since its last message.
            public var silentMilliseconds: Int64
        }

        /// Masks of the run.
        public var masks: Int
        /// Masks recorded.
        public var recorded: Int
        /// Masks that workers have.
        public var leased: Int
        /// Masks that nobody holds yet.
        public var pending: Int
        /// Masks that wait for another worker's vote.
        public var unverified: Int
        /// Masks that were set aside, with their reasons, at most the first 100.
        public var setAside: [Int: String]
        /// How many masks were set aside.
        public var setAsideCount: Int
        /// The connected workers.
        public var workers: [Worker]
        /// What happened so often.
        public var figures: Figures
        /// Why nothing progresses, or nil while something does.
        public var whyIdle: String?
    }

    /// The state of the run. O(workers), and O(masks) only if masks were set aside.
    public func snapshot(at moment: Moment) -> Snapshot {
        let list = workers.filter { $0.peer != nil }.map { worker in
            Snapshot.Worker(
                id: worker.id, host: worker.hello?.host ?? "", instructionSet: worker.hello?.instructionSet ?? "",
                threads: worker.hello?.threads ?? 0, state: state(worker),
                masksPerSecond: worker.secondsPerMask.map { 1 / max($0, 1e-9) }, leases: worker.leases.count,
                evaluations: worker.evaluations, silentMilliseconds: max(0, moment - worker.lastHeard))
        }
        return Snapshot(
            masks: phases.count, recorded: recordedCount, leased: count(.leased),
            pending: count(.pending) + count(.suspect),
            unverified: count(.awaiting) + count(.disputed),
            setAside: Dictionary(uniqueKeysWithValues: setAsideMasks.prefix(100).map { ($0.mask, $0.reason) }),
            setAsideCount: count(.aside), workers: list, figures: figures, whyIdle: whyIdle(at: moment))
    }

    private func state(_ worker: Roster<Duty>.Worker) -> String {
        switch worker.stage {
        case .greeted: "fetching"
        case .leaving: "leaving"
        case .ready:
            worker.overdue
                ? "overdue" : worker.restsUntil != nil ? "resting" : worker.leases.isEmpty ? "idle" : "computing"
        }
    }

    /// Masks recorded. O(1).
    public var recordedCount: Int { count(.recorded) + count(.confirmed) }

    /// The masks that were set aside and why, ascending.
    public var setAsideMasks: [(mask: Int, reason: String)] {
        guard count(.aside) > 0 else { return [] }
        return troubles.keys.sorted().filter { phases[$0] == .aside }.map { ($0, troubles[$0]?.reason ?? "") }
    }

    /// Why there is no progress, in plain words, or nil while workers compute or the run is over.
    public func whyIdle(at moment: Moment) -> String? {
        guard outcome == nil else { return nil }
        let connected = workers.filter { $0.peer != nil }
        guard !connected.isEmpty else {
            guard let gone = roster.lastWorkerGoneAt else {
                return "no worker has connected for \(seconds(from: roster.startedAt, to: moment))"
            }
            return "no workers connected for \(seconds(from: gone, to: moment))"
        }
        guard connected.allSatisfy({ $0.leases.isEmpty }) else {
            return overdueText(connected, moment)
        }
        let who = connected.count == 1 ? "the only worker" : "all \(connected.count) workers"
        let verb = connected.count == 1 ? "is" : "are"
        if connected.allSatisfy({ $0.stage == .greeted }) {
            return "\(who) \(verb) fetching the network and the images"
        }
        if connected.allSatisfy({ $0.stage == .leaving }) { return "\(who) \(verb) leaving" }
        if connected.contains(where: { $0.overdue }), connected.allSatisfy({ $0.overdue || $0.stage != .ready }) {
            return "\(who) \(verb) past a lease's deadline; stop and restart them"
        }
        let open = count(.awaiting) + count(.disputed)
        if tailSince != nil, open > 0 {
            return "\(open) masks wait for another worker's vote; start one on another host or with another key"
        }
        if connected.allSatisfy({ $0.restsUntil != nil || $0.stage != .ready }) {
            return "\(who) \(verb) paused, since workers there die or answer emptily one after the other"
        }
        return nil
    }

    private func overdueText(_ connected: [Roster<Duty>.Worker], _ moment: Moment) -> String? {
        let open = connected.flatMap { $0.leases.compactMap { leases[$0] } }
        guard let next = open.min(by: { $0.deadline < $1.deadline }), open.allSatisfy({ isLate($0, moment) }) else {
            return nil
        }
        return "no worker has answered for longer than expected; the next deadline is in "
            + seconds(from: moment, to: next.deadline)
    }

    private func isLate(_ lease: Lease, _ moment: Moment) -> Bool {
        moment - lease.grantedAt > 4 * max(lease.expectedAt - lease.grantedAt, policy.leaseMilliseconds)
    }

    private func seconds(from start: Moment, to end: Moment) -> String { "\(max(0, end - start) / 1000) s" }
}
