import Shared
import TestSupport
import Worker

@testable import Coordinator

/// A coordinator, its workers and the network between them in virtual time, all drawn from one seed.
///
/// First everything that can go wrong does; then all is calm, and the run must end with every mask recorded once with
/// the right evaluation, or a training with the parameters, to the bit, of a fault-free one. The coordinator's files
/// are written like the real ones: an evaluation is safe before any action that follows it, and a training resumes from
/// the last save.
public final class Simulation {
    enum Event {
        case toCoordinator(from: Int, peer: UInt64, frame: [UInt8], intact: Bool)
        case toWorker(Int, peer: UInt64, frame: [UInt8], intact: Bool)
        case coordinatorTimer(life: UInt32)
        case workerTimer(Int, process: Int)
        case located(Int, process: Int, CoordinatorMessage.Blob)
        case checked(Int, process: Int, CoordinatorMessage.Blob)
        case prepared(Int, process: Int, RunID)
        case computed(Int, process: Int, CoordinatorMessage.Lease, milliseconds: Int64)
        case abandoned(Int, process: Int, LeaseID)
        case startWorker(Int)
        case startCoordinator
        case fault
        case calm
    }

    /// What a run was like.
    public struct Report: Sendable {
        /// Events that happened.
        public var events = 0
        /// Virtual milliseconds.
        public var milliseconds: Int64 = 0
        /// Messages, and how many of them were lost or damaged.
        public var messages = 0, lost = 0, damaged = 0
        /// Deaths of workers and of the coordinator.
        public var workerDeaths = 0, coordinatorDeaths = 0
        /// Evaluations recorded and masks set aside at the end.
        public var recorded = 0, setAside = 0
        /// Masks set aside in a life of the coordinator although nothing was wrong with them.
        public var innocentSetAside = 0
        /// Evaluations that were proved wrong.
        public var liesFound = 0
        /// Leases granted.
        public var leases = 0
        /// Workers dismissed.
        public var dismissals = 0
        /// Trainings, their steps, and shares that were granted again.
        public var trainings = 0, steps = 0, sharesGivenAgain = 0
        /// A digest of everything that happened, in order.
        public var fingerprint: UInt64 = 0xcbf2_9ce4_8422_2325

        /// Nothing happened yet.
        public init() {}

        /// Adds another run's counts.
        public mutating func add(_ other: Report) {
            events += other.events
            milliseconds += other.milliseconds
            messages += other.messages
            lost += other.lost
            damaged += other.damaged
            workerDeaths += other.workerDeaths
            coordinatorDeaths += other.coordinatorDeaths
            recorded += other.recorded
            setAside += other.setAside
            innocentSetAside += other.innocentSetAside
            liesFound += other.liesFound
            leases += other.leases
            dismissals += other.dismissals
            trainings += other.trainings
            steps += other.steps
            sharesGivenAgain += other.sharesGivenAgain
            fingerprint = (fingerprint ^ other.fingerprint) &* 0x100_0000_01b3
        }
    }

    /// A connection of a worker's process.
    typealias Connection = (worker: Int, process: Int)

    /// Within this time a silent worker counts as gone, and its masks are leased again.
    static let silenceMillisecondsMax: Int64 = 4000
    /// In calm, some healthy worker computes, unless nothing is left, except for pauses up to this.
    static let standstillMillisecondsMax: Int64 = 10_000
    /// How long after the faults a coordinator that was slow may still read earlier messages.
    static let backlogMillisecondsMax: Int64 = 50_000
    /// After the faults every run must end within this.
    static let calmMillisecondsMax: Int64 = 300_000

    let seed: UInt64
    var random: SeededGenerator
    let scenario: Scenario
    let welcome: CoordinatorMessage.Welcome
    let blobs: [Digest: [UInt8]]
    /// Images of a mask's evaluation.
    let images: Int
    /// The training, where there is one.
    let training: SimulatedTraining?
    /// Called with a line for every event.
    let trace: ((String) -> Void)?

    var now = Moment(milliseconds: 0)
    var queue = EventQueue<Event>()
    var scheduler: Scheduler?
    var stepper: StepScheduler?
    /// The training as the coordinator's process has it.
    var progress: TrainingProgress?
    var coordinatorTimer: Moment?
    var file = SimulatedRunFile()
    var workers: [SimulatedWorker] = []
    var connections: [UInt64: Connection] = [:]
    /// The number of the last lease granted.
    var lastLease: UInt32 = 0
    /// Until when the coordinator works on the last message.
    var busyUntil = Moment(milliseconds: 0)
    /// Since when all healthy workers idle.
    var idleSince: Moment?
    var nextPeer: UInt64 = 1
    var isCalm = false
    var report = Report()
    /// When the coordinator last heard a message of each connection.
    var heardAt: [Peer: Moment] = [:]
    /// The answer that the coordinator is handling, to check that it is recorded before it is acknowledged.
    var answer: WorkerMessage.Answer?

    /// A run of a seed.
    public init(seed: UInt64, trace: ((String) -> Void)? = nil) {
        self.seed = seed
        self.trace = trace
        var random = SeededGenerator(seed: seed)
        let scenario = Scenario(random: &random)
        func blob() -> [UInt8] {
            (0..<Int.random(in: 1...600, using: &random)).map { _ in .random(in: 0...255, using: &random) }
        }
        let contents = [blob(), blob(), blob()]
        let digests = contents.map { Digest(sha256Of: $0) }
        blobs = Dictionary(zip(digests, contents)) { first, _ in first }
        func named(_ index: Int) -> CoordinatorMessage.Blob {
            CoordinatorMessage.Blob(digest: digests[index], size: UInt64(contents[index].count))
        }
        let images = Int.random(in: 1...1000, using: &random)
        let recalibrated = Bool.random(using: &random)
        let run = RunID(high: random.next(), low: random.next())
        if scenario.isTraining {
            let training = SimulatedTraining(random: &random)
            self.training = training
            let work = training.work(network: named(0), trainingImages: named(1), testImages: named(2))
            welcome = CoordinatorMessage.Welcome(run: run, life: 0, work: .training(work))
        } else {
            training = nil
            let work = MaskWork(
                settings: EvaluationSettings(
                    split: .train, images: images, batchNorm: recalibrated ? .recalibrated(images: 64) : .frozen),
                network: named(0), images: named(1), calibrationImages: recalibrated ? named(2) : nil,
                filters: scenario.filters, masks: scenario.masks, ensemble: [7], sample: digests[0])
            welcome = CoordinatorMessage.Welcome(run: run, life: 0, work: .masks(work))
        }
        self.images = images
        for _ in 0..<scenario.workers {
            let speed = Int64.random(in: 1...300, using: &random)
            workers.append(
                SimulatedWorker(id: WorkerID(high: random.next(), low: random.next()), maskMilliseconds: speed))
        }
        self.random = random
        self.scenario = scenario
    }

    /// Runs everything. Throws if something is lost, duplicated, wrong, contradictory or never ends.
    public func run() throws(SimulationFailure) -> Report {
        queue.insert(.startCoordinator, at: now)
        for worker in workers.indices { queue.insert(.startWorker(worker), at: now + draw(0...3000)) }
        queue.insert(.calm, at: scenario.calmAt)
        faultLater()
        while let (at, event) = queue.popFirst() {
            now = max(now, at)
            report.events += 1
            guard now - scenario.calmAt < Self.calmMillisecondsMax else { throw stuck() }
            try happen(event)
            try checkSilence()
            try checkStandstill()
            if isCalm, try isOver() {
                try checkResult()
                return finalReport()
            }
        }
        throw failure("nothing happens any more, \(file.evaluations.count) of \(scenario.masks) recorded")
    }

    /// Nobody waits for a worker that is silent for too long. Leases belong only to connected workers, as the
    /// scheduler's own invariants say, and returned masks wait only if no connected worker can take them.
    private func checkSilence() throws(SimulationFailure) {
        guard isCoordinatorUp, !hasEnded, busyUntil <= now else { return }
        // Some messages that came while it was slow are read late.
        let isSlow = scenario.turnMilliseconds > 0 && now - scenario.calmAt < Self.backlogMillisecondsMax
        var peers: [Peer] = []
        if let scheduler { peers += scheduler.connectedPeers }
        if let stepper { peers += stepper.connectedPeers }
        for peer in peers {
            let silence = now - (heardAt[peer] ?? Moment(milliseconds: 0))
            guard silence > (isSlow ? 12 : 1) * Self.silenceMillisecondsMax else { continue }
            let worker = connections[peer.id].map { "worker \($0.worker)" } ?? "a worker that is not connected"
            throw failure("\(worker) is silent for \(silence) ms and still counted on")
        }
    }

    /// Hung, dying and empty workers keep no working worker waiting.
    private func checkStandstill() throws(SimulationFailure) {
        guard isCalm, isCoordinatorUp, !hasEnded, scenario.policy.verifiedShare == 0 || training != nil,
            scenario.poison.isEmpty, scenario.failing.isEmpty
        else { return }
        func isHealthy(_ peer: Peer?) -> Bool {
            peer.flatMap { connections[$0.id] }.map { scenario.isHealthy($0.worker) } ?? false
        }
        var ready: [[UInt32]] = []
        var isWaiting = true
        if let scheduler {
            for worker in scheduler.workers where worker.stage == .ready && isHealthy(worker.peer) {
                ready.append(worker.duty.leases)
            }
        }
        if let stepper {
            for worker in stepper.workers where worker.stage == .ready && isHealthy(worker.peer) {
                ready.append(worker.duty.leases)
            }
            isWaiting = !stepper.waiting.isEmpty
        }
        guard !ready.isEmpty, isWaiting, ready.allSatisfy(\.isEmpty) else {
            idleSince = nil
            return
        }
        let since = idleSince ?? now
        idleSince = since
        guard now - since <= Self.standstillMillisecondsMax else {
            throw failure("all \(ready.count) healthy workers have idled for \(now - since) ms")
        }
    }

    private func finalReport() -> Report {
        report.milliseconds = now.milliseconds
        report.recorded = file.evaluations.count
        report.liesFound += scheduler?.figures.disagreements ?? 0
        if let progress {
            report.trainings += 1
            report.steps += progress.stepsDone
        }
        report.fingerprint = report.fingerprint &* 31 &+ random.next()
        return report
    }

    private func happen(_ event: Event) throws(SimulationFailure) {
        switch event {
        case .toCoordinator(let worker, let peer, let frame, let intact):
            try deliverToCoordinator(from: worker, peer, frame, intact)
        case .toWorker(let worker, let peer, let frame, let intact):
            try deliverToWorker(worker, peer, frame, intact, event)
        case .coordinatorTimer(let life): try coordinatorTimerFired(life)
        case .workerTimer(let worker, let process):
            try withWorker(worker, process, event) { state, now in
                self.workers[worker].timer = nil
                return state.timePassed(at: now)
            }
        case .located(let worker, let process, let blob):
            let stored = workers[worker].cache[blob.digest] ?? []
            let isWhole = stored == blobs[blob.digest]
            try withWorker(worker, process, event) { state, now in
                state.blobLocated(blob.digest, bytes: UInt64(stored.count), isWhole: isWhole, at: now)
            }
        case .checked(let worker, let process, let blob):
            let isRight = workers[worker].cache[blob.digest] == blobs[blob.digest]
            if !isRight { workers[worker].cache[blob.digest] = nil }
            try withWorker(worker, process, event) { state, now in
                state.blobChecked(blob.digest, isRight: isRight, at: now)
            }
        case .prepared(let worker, let process, let run):
            try withWorker(worker, process, event) { state, now in state.prepared(run, at: now) }
        case .computed(let worker, let process, let lease, let milliseconds):
            try finishComputing(worker, process, lease, milliseconds, event)
        case .abandoned(let worker, let process, let lease):
            try withWorker(worker, process, event) { state, now in state.abandoned(lease, at: now) }
        case .startWorker(let worker): try startWorker(worker)
        case .startCoordinator: try startCoordinator()
        case .fault: try strike()
        case .calm: try calmDown()
        }
    }

    // MARK: - The end

    /// Whether the run is over for the coordinator and all workers that live.
    private func isOver() throws(SimulationFailure) -> Bool {
        if training != nil {
            return stepper?.isOver == true && workers.allSatisfy { $0.protocolState == nil }
        }
        guard let scheduler, let outcome = scheduler.ended else { return false }
        guard workers.allSatisfy({ $0.protocolState == nil }) else { return false }
        report.setAside = scheduler.setAsideMasks.count
        let innocent = scheduler.setAsideMasks.filter {
            !scenario.poison.contains($0.mask) && !scenario.failing.contains($0.mask)
        }
        guard case .incomplete = outcome, !innocent.isEmpty else { return true }
        report.innocentSetAside += innocent.count
        guard !scenario.isCalm else {
            throw failure("mask \(innocent[0].mask) is set aside without a reason: \(innocent[0].reason)")
        }
        // The faults killed every worker that evaluated these masks. A run resumed in calm must get them.
        guard file.lives < 1000 else { throw failure("masks are set aside again and again") }
        note("resumed, since \(innocent.count) masks were set aside")
        endCoordinator()
        queue.insert(.startCoordinator, at: now)
        return false
    }

    private func checkResult() throws(SimulationFailure) {
        if let training {
            guard let progress, training.isRight(progress) else {
                throw failure("the training's parameters are not those that it has where nothing goes wrong")
            }
            return
        }
        for mask in 0..<scenario.masks {
            let recorded = file.evaluations[mask]
            if scenario.poison.contains(mask) || scenario.failing.contains(mask) {
                guard recorded == nil else { throw failure("mask \(mask) is recorded, but nobody can evaluate it") }
                continue
            }
            guard let recorded else { throw failure("mask \(mask) is lost") }
            guard recorded.evaluation == truth(mask) else { throw failure("mask \(mask) has a wrong evaluation") }
        }
    }

    /// The right evaluation of a mask.
    func truth(_ mask: Int) -> Evaluation {
        var mixer = SeededGenerator(seed: UInt64(mask) ^ welcome.run.low)
        return Evaluation(
            lossSum: Int64.random(in: 0...1 << 40, using: &mixer), correct: Int.random(in: 0...images, using: &mixer),
            images: images)
    }

    /// Whether the coordinator's process runs.
    var isCoordinatorUp: Bool { scheduler != nil || stepper != nil }

    /// Whether the coordinator has nothing left to do.
    var hasEnded: Bool { scheduler?.isOver ?? stepper?.isOver ?? false }

    func isHonest(_ worker: Int) -> Bool { !scenario.rogues.contains(worker) && !scenario.liars.contains(worker) }

    private func stuck() -> SimulationFailure {
        let reason =
            isCoordinatorUp
            ? scheduler?.whyIdle(at: now) ?? stepper?.whyIdle(at: now) ?? "no reason known" : "no coordinator"
        let done =
            training == nil
            ? "\(file.evaluations.count) of \(scenario.masks) recorded" : "\(progress?.stepsDone ?? 0) steps done"
        return failure("not over \(Self.calmMillisecondsMax / 1000) s after the last fault, \(done): \(reason)")
    }

    // MARK: - Tools

    func failure(_ what: String) -> SimulationFailure {
        SimulationFailure(seed: seed, what: "at \(now) s: \(what)")
    }

    func draw(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &random) }

    func happens(_ share: Double) -> Bool { share > 0 && Double.random(in: 0..<1, using: &random) < share }

    func note(_ text: @autoclosure () -> String) { trace?("\(now) \(text())") }

    /// Mixes events into the report's fingerprint.
    func mark(_ value: Int) {
        report.fingerprint = (report.fingerprint ^ UInt64(truncatingIfNeeded: value)) &* 0x100_0000_01b3
    }
}
