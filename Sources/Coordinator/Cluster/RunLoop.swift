import Foundation
import Shared

/// The loop of a run of masks: keeps the run file.
final class RunLoop: ClusterLoop<Scheduler> {
    /// How a life ended.
    enum Ending: Equatable {
        /// The run is over.
        case over(Scheduler.Outcome)
        /// The user interrupted it.
        case interrupted
    }

    /// Observer of the run; called on the loop's thread, so it must be quick.
    struct Observer {
        /// Evaluations were committed.
        var recorded: ([MaskEvaluation]) -> Void = { _ in }
        /// Called about once a second.
        var ticked: (Scheduler.Snapshot) -> Void = { _ in }
        /// Called once a second; true ends the run before all masks are recorded.
        var hasEnough: () -> Bool = { false }
    }

    /// Milliseconds between checkpoints of the run file's log into the file: a copy of the file alone misses this much
    /// when the coordinator is killed.
    private static let logMilliseconds: Int64 = 5000
    /// Workers' numbers that are kept by peers that are gone.
    private static let numbersKept = 1000
    /// Ticks that a referee has been needed before it is started.
    private static let refereeAfterTicks = 5

    private let file: RunFile
    private let observer: Observer
    /// Starts a worker of our own; nil if that was done or is impossible.
    private var startReferee: (() throws -> LocalWorkers)?
    private var referee: LocalWorkers?
    private var ticksWithoutReferee = 0
    private let life: UInt32
    private var numbers: [WorkerID: Int] = [:]
    private var numbersByPeer: [Peer: Int] = [:]
    private var recorded: [MaskEvaluation] = []
    /// The time per mask of the latest answer.
    private var maskMicroseconds: UInt64 = 0
    private var outcome: Scheduler.Outcome?

    /// Prepares a life: evaluations in the run file are not repeated. Throws a ``Failure``.
    init(
        _ file: RunFile, at listener: consuming Listener, serving materials: RunMaterials, policy: SchedulingPolicy,
        localWorkers: LocalWorkers?, startReferee: (() throws -> LocalWorkers)? = nil, observer: Observer
    ) throws {
        guard let run = file.description.runID else {
            throw Failure(.badInput, "the run file \(file.path) is damaged: its run has no identity")
        }
        self.file = file
        self.observer = observer
        self.startReferee = startReferee
        life = try file.beginLife(at: Date())
        let ensemble = file.description.ensemble
        let work = MaskWork(
            settings: file.description.settings, network: materials.network, images: materials.images,
            calibrationImages: materials.calibrationImages, filters: ensemble.filterCount, masks: ensemble.count,
            ensemble: Array(try JSONEncoder().encode(ensemble)), sample: file.description.masksDigest)
        guard work.ensemble.count <= Wire.ensembleBytesMax else {
            throw Failure(.badInput, "the network has more layers than the protocol can describe")
        }
        var scheduler = Scheduler(
            welcome: CoordinatorMessage.Welcome(run: run, life: life, work: .masks(work)), policy: policy, at: .now())
        scheduler.expectsReferee = startReferee != nil
        let identities = try file.workerIdentities()
        try file.forEachEvaluation {
            let known = identities[$0.worker]
            scheduler.restore(mask: $0.mask, by: known?.worker, from: known?.origin)
        }
        super.init(scheduler, at: listener, serving: materials.store, localWorkers: localWorkers)
    }

    /// Runs until the run is over or the user interrupts it. Throws a ``Failure``; committed evaluations are kept.
    func run(signals: borrowing SignalQueue) throws -> Ending {
        defer { referee?.stop() }
        var logDue = now + Self.logMilliseconds
        while true {
            guard try turn(signals) else {
                try file.endLife(life, at: date, "interrupted")
                return .interrupted
            }
            if logDue <= now {
                logDue = now + Self.logMilliseconds
                file.shortenLog()
            }
            if let outcome {
                try file.endLife(life, at: date, "\(outcome)")
                observer.ticked(policy.snapshot(at: now))
                return .over(outcome)
            }
        }
    }

    /// Starts a worker of our own to judge masks that others disagree about, or that only one of them evaluated, once a
    /// judge has been missing for a while.
    private func tendReferee() {
        if let referee, !referee.tend() { policy.expectsReferee = false }
        ticksWithoutReferee = policy.wantsReferee ? ticksWithoutReferee + 1 : 0
        let isDue = ticksWithoutReferee >= Self.refereeAfterTicks || policy.hasOnlyOpinionsLeft
        guard referee == nil, let start = startReferee, policy.wantsReferee, isDue else { return }
        startReferee = nil
        do {
            referee = try start()
            Log.shared.line("starting a worker here, to verify what no other worker can")
        } catch {
            policy.expectsReferee = false
            Log.shared.line("no worker can verify some masks, and none can be started here: \(error)")
        }
    }

    override func tick() throws {
        guard !file.wasMoved else {
            throw Failure(
                .unavailable,
                "the run file \(file.path) was moved or deleted during the run; put it back, or run "
                    + "'winnow-coordinator resume --run' with its new name")
        }
        tendReferee()
        if numbersByPeer.count > 2 * policy.connectedCount + Self.numbersKept {
            let connected = Set(policy.connectedPeers)
            numbersByPeer = numbersByPeer.filter { connected.contains($0.key) }
        }
        if let localWorkers, !localWorkers.tend(), policy.connectedCount == 0 {
            throw Failure(
                .unavailable,
                "no local worker stays alive (see the lines above); fix that, then resume with "
                    + "'\(RunFile.resumeCommand(file.path))'")
        }
        let snapshot = policy.snapshot(at: now)
        try file.setStandstill(snapshot.whyIdle)
        observer.ticked(snapshot)
        if observer.hasEnough() { try perform(policy.stopped(at: now)) }
    }

    override func grantedLease(_ lease: LeaseID) throws -> Scheduler.GrantedLease? { try file.grantedLease(lease) }

    override func heard(_ message: WorkerMessage) {
        guard case .answer(let answer) = message, !answer.evaluations.isEmpty else { return }
        maskMicroseconds = answer.computeMicroseconds / UInt64(answer.evaluations.count)
    }

    override func welcomed(_ hello: WorkerMessage.Hello, _ peer: Peer, from origin: Origin) throws {
        let number = try file.register(hello, from: origin, at: date)
        numbers[hello.worker] = number
        numbersByPeer[peer] = number
    }

    override func act(_ action: ClusterAction) throws {
        switch action {
        case .grant(let peer, let lease, let job):
            try file.recordLease(lease, worker: numbersByPeer[peer] ?? 0, masks: job.masks, at: date)
        case .record(let item, let worker):
            recorded.append(item)
            try file.record(
                RecordedEvaluation(
                    mask: item.mask, evaluation: item.evaluation, worker: numbers[worker] ?? 0, recorded: date,
                    computeMicroseconds: maskMicroseconds))
        case .retract(let masks): try file.discard(masks: Array(masks))
        case .acknowledge(_, let lease): try file.endLease(lease, "answered", at: date)
        case .cancel(_, let lease): try file.endLease(lease, "cancelled", at: date)
        case .dismiss(let peer, let reason):
            if let number = numbersByPeer[peer] { try file.dismiss(worker: number, reason) }
        case .setAside(let mask, let reason):
            try file.setAside(mask: mask, reason)
            Log.shared.line("mask \(mask) is set aside: \(reason)")
        case .release(let lease, let reason): try file.endLease(lease, "taken back: \(reason)", at: date)
        case .remember(let occurrence):
            try file.remember(occurrence, worker: occurrence.worker.flatMap { numbers[$0] }, life: life, at: date)
        case .end(let outcome): self.outcome = outcome
        default: break
        }
    }

    override func left(_ peer: Peer) { numbersByPeer[peer] = nil }

    override func droppedConnections() { numbersByPeer = [:] }

    override func commit() throws {
        try file.commit()
        guard !recorded.isEmpty else { return }
        observer.recorded(recorded)
        recorded.removeAll(keepingCapacity: true)
    }
}
