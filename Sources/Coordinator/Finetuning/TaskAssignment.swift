import Shared

/// Who computes which task of a step. A value without clock or socket: events come in with a time, and tasks go out.
///
/// A task that is lost with its worker, or that takes much longer than its peers, is given to another one as well; the
/// first answer counts. Since a task's answer depends on nothing but the task, it does not matter whose it is.
struct TaskAssignment: Sendable {
    /// What becomes of a worker's message about a task.
    enum Verdict: Equatable {
        /// It is the first answer.
        case wanted
        /// Somebody was faster, the task is of an earlier step, or it is not this worker's.
        case unneeded
    }

    /// A worker that is silent for so long is gone.
    static let silenceMilliseconds: Int64 = 4000
    /// Tasks that a worker may have for each of its threads, so that none waits for the next one.
    static let tasksPerThread = 2
    /// Workers that may compute one task at a time.
    static let copiesMax = 2
    /// A task that takes so many times as long as the median of the last ones is given to an idle worker as well.
    static let patience = 3.0
    /// Failures of one task, of so many witnesses or all that there are, after which the training is given up.
    static let failuresMax = 3
    /// Failures of one worker, one after the other, after which it gets nothing while others are there.
    static let failuresInRowMax = 3
    /// Durations from which the median is taken.
    private static let durationsMax = 31

    private struct Worker {
        var threads: Int
        var lastHeard: Moment
        /// Who vouches for it: ``Origin/witness``.
        var witness: String
        var tasks: Set<UInt64> = []
        var failuresInRow = 0
        /// Whether messages to it wait for room: it gets no more.
        var isBlocked = false
    }

    private struct Open {
        let task: TrainingTask
        var holders: [Peer: Moment] = [:]
        /// Tries that failed, by witness.
        var failures: [String: Int] = [:]
    }

    private var workers: [Peer: Worker] = [:]
    private var open: [UInt64: Open] = [:]
    private var waiting: [UInt64] = []
    private var durations: [Int64] = []

    /// Whether every task is answered.
    var isDone: Bool { open.isEmpty }
    /// Workers that are ready.
    var workerCount: Int { workers.count }
    /// Threads of all workers.
    var threadCount: Int { workers.values.reduce(0) { $0 + $1.threads } }

    /// Whether a worker has joined.
    func knows(_ peer: Peer) -> Bool { workers[peer] != nil }

    /// Begins a step.
    mutating func begin(_ tasks: [TrainingTask]) {
        precondition(open.isEmpty, "a step begins when the one before is over")
        for task in tasks { open[task.number] = Open(task: task) }
        waiting = tasks.map(\.number)
    }

    mutating func workerJoined(_ peer: Peer, threads: Int, witness: String = "", at now: Moment) {
        workerLeft(peer)
        workers[peer] = Worker(threads: max(1, threads), lastHeard: now, witness: witness)
    }

    /// Messages to a worker wait for room, or no longer do.
    mutating func workerBlocked(_ peer: Peer, _ isBlocked: Bool) { workers[peer]?.isBlocked = isBlocked }

    mutating func workerHeard(_ peer: Peer, at now: Moment) { workers[peer]?.lastHeard = now }

    /// Its tasks go to others.
    mutating func workerLeft(_ peer: Peer) {
        guard let worker = workers.removeValue(forKey: peer) else { return }
        for number in worker.tasks.sorted() {
            open[number]?.holders[peer] = nil
            if open[number]?.holders.isEmpty == true { waiting.append(number) }
        }
    }

    /// Workers that were silent for too long; they are gone.
    mutating func silentWorkers(at now: Moment) -> [Peer] {
        let silent = workers.filter { now - $0.value.lastHeard > Self.silenceMilliseconds }.map(\.key)
        for peer in silent { workerLeft(peer) }
        return silent
    }

    /// Tasks to send now.
    mutating func assign(at now: Moment) -> [(peer: Peer, task: TrainingTask)] {
        var assigned: [(peer: Peer, task: TrainingTask)] = []
        while let number = waiting.first, let peer = leastLoaded(limitPerThread: Self.tasksPerThread, for: number) {
            waiting.removeFirst()
            assigned += give(number, to: peer, at: now)
        }
        guard waiting.isEmpty, let limit = lateMilliseconds else { return assigned }
        for (number, entry) in open.sorted(by: { $0.key < $1.key }) {
            guard entry.holders.count < Self.copiesMax, let since = entry.holders.values.min(), now - since > limit,
                let peer = leastLoaded(limitPerThread: 1, for: number), entry.holders[peer] == nil
            else { continue }
            assigned += give(number, to: peer, at: now)
        }
        return assigned
    }

    /// Whether a worker has a task now. Nobody else may answer it.
    func holds(_ peer: Peer, _ number: UInt64) -> Bool { open[number]?.holders[peer] != nil }

    /// An answer has come.
    mutating func answered(_ number: UInt64, by peer: Peer, at now: Moment) -> Verdict {
        workers[peer]?.lastHeard = now
        guard holds(peer, number), let entry = open.removeValue(forKey: number) else { return .unneeded }
        workers[peer]?.failuresInRow = 0
        for holder in entry.holders.keys { workers[holder]?.tasks.remove(number) }
        waiting.removeAll { $0 == number }
        if let since = entry.holders[peer] {
            durations.append(now - since)
            if durations.count > Self.durationsMax { durations.removeFirst() }
        }
        return .wanted
    }

    /// A worker could not compute a task, or its answer cannot be. Throws an `.unavailable` ``Failure`` once it failed
    /// too often, and for all who could compute it.
    mutating func failed(_ number: UInt64, by peer: Peer, reason: String) throws {
        // A worker that was given up may still tell of a task that others have now.
        guard open[number]?.holders.removeValue(forKey: peer) != nil else { return }
        workers[peer]?.tasks.remove(number)
        workers[peer]?.failuresInRow += 1
        open[number]?.failures[workers[peer]?.witness ?? "", default: 0] += 1
        let failures = open[number]?.failures ?? [:]
        let count = failures.values.reduce(0, +)
        let witnesses = Set(workers.values.map(\.witness)).union(failures.keys).count
        if count >= Self.failuresMax, failures.count >= min(Self.failuresMax, witnesses) {
            throw Failure(.unavailable, "a share of a step failed \(count) times, the last with: \(reason)")
        }
        if open[number]?.holders.isEmpty == true { waiting.append(number) }
    }

    /// The time after which a task is late, or nil while too little is known.
    private var lateMilliseconds: Int64? {
        guard durations.count >= 5 else { return nil }
        let median = durations.sorted()[durations.count / 2]
        return Int64(Self.patience * Double(max(median, 100)))
    }

    /// Who has the least to do. Who failed at the task, or at everything, is asked where nobody else is there.
    private func leastLoaded(limitPerThread: Int, for number: UInt64) -> Peer? {
        let failures = open[number]?.failures ?? [:]
        func isDoubtful(_ worker: Worker) -> Bool {
            worker.failuresInRow >= Self.failuresInRowMax || failures[worker.witness] != nil
        }
        let able = workers.filter { !$0.value.isBlocked }
        let trusted = able.filter { !isDoubtful($0.value) }
        let free = (trusted.isEmpty ? able : trusted).filter {
            $0.value.tasks.count < limitPerThread * $0.value.threads
        }
        return free.min { a, b in
            let left = a.value.tasks.count * b.value.threads
            let right = b.value.tasks.count * a.value.threads
            return left != right ? left < right : a.key.id < b.key.id
        }?.key
    }

    private mutating func give(_ number: UInt64, to peer: Peer, at now: Moment) -> [(peer: Peer, task: TrainingTask)] {
        guard let task = open[number]?.task else { return [] }
        open[number]?.holders[peer] = now
        workers[peer]?.tasks.insert(number)
        return [(peer, task)]
    }

    /// Checks that the parts agree with one another; for tests.
    func checkInvariants() {
        for (number, entry) in open {
            precondition(entry.holders.isEmpty == waiting.contains(number), "a task waits or somebody has it")
            for peer in entry.holders.keys {
                precondition(workers[peer]?.tasks.contains(number) == true, "a holder knows its task")
            }
        }
        for (peer, worker) in workers {
            for number in worker.tasks { precondition(open[number]?.holders[peer] != nil, "a task knows its holder") }
        }
        precondition(Set(waiting).count == waiting.count, "a task waits once")
    }
}
