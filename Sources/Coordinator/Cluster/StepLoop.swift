import Foundation
import Shared

/// The loop of a training, or of questions about networks: has their steps computed by workers.
final class StepLoop: ClusterLoop<StepScheduler> {
    /// The parameters that a step is computed with.
    struct Parameters {
        var version: UInt64
        var trained: [Float]
        var statistics: [Float]
    }

    /// How long nothing may happen before the user is told why, and told again.
    private static let quietMilliseconds: Int64 = 15_000
    /// Parts of the parameters that are sent ahead of a job; what is beyond, workers ask for as they have room.
    private static let partsAhead = 8

    /// Called about once a second.
    var ticked: () -> Void = {}
    private var parts: [[UInt8]] = []
    private var toldAt = Moment.now()
    /// Why nothing progresses, in plain words; nil while something does.
    private(set) var whyIdle: String?

    /// Workers that compute.
    var workerCount: Int { policy.readyCount }
    /// Shares of the step that are answered.
    var answeredCount: Int { policy.answers.count }

    /// A loop of a training without a step.
    init(
        at listener: consuming Listener, serving materials: TrainingMaterials, layout: ParameterLayout,
        localWorkers: LocalWorkers?
    ) {
        let scheduler = StepScheduler(welcome: materials.welcome, layout: layout, at: .now())
        super.init(scheduler, at: listener, serving: materials.store, localWorkers: localWorkers)
    }

    /// A loop of questions about networks.
    init(
        at listener: consuming Listener, welcoming welcome: CoordinatorMessage.Welcome, localWorkers: LocalWorkers?,
        notesArrivals: Bool
    ) {
        var scheduler = StepScheduler(welcome: welcome, at: .now())
        scheduler.roster.notesArrivals = notesArrivals
        super.init(scheduler, at: listener, serving: BlobStore(), localWorkers: localWorkers)
    }

    /// Computes the shares of a step and returns their answers in the same order, whoever computed them. Throws an
    /// `.interrupted` ``Failure`` where a signal comes, and an `.unavailable` one where nobody can compute a share.
    func compute(
        _ steps: [Job.Step], with parameters: Parameters, signals: borrowing SignalQueue
    ) throws -> [StepScheduler.Answer] {
        if policy.version != parameters.version || parts.isEmpty {
            let row = RowPart.parts(of: parameters.trained + parameters.statistics, subject: parameters.version)
            parts = row.map { CoordinatorMessage.parameters($0).encoded() }
        }
        try perform(policy.began(steps, version: parameters.version, at: .now()))
        return try answers(signals)
    }

    /// Computes tasks about a network, of a version that is a later one for another network, and returns their answers in
    /// the same order. `refusal` says why an answer cannot be, or nil. Throws as the other one.
    func compute(
        _ tasks: [NetworkTask], about network: (version: UInt64, bytes: [UInt8]),
        refusal: @escaping @Sendable (NetworkTask, StepScheduler.Answer) -> String?, signals: borrowing SignalQueue
    ) throws -> [StepScheduler.Answer] {
        if policy.version != network.version {
            let row = RowPart.parts(of: RowPart.row(of: network.bytes), subject: network.version)
            parts = row.map { CoordinatorMessage.parameters($0).encoded() }
        }
        try perform(
            policy.began(
                tasks, version: network.version, floats: (network.bytes.count + 3) / 4, refusal: refusal, at: .now()))
        return try answers(signals)
    }

    /// Offers other files to all workers.
    func offer(_ store: BlobStore, _ welcome: CoordinatorMessage.Welcome) throws {
        serve(store, welcome)
        try perform(policy.changed(welcome, at: .now()))
        try settle()
    }

    private func answers(_ signals: borrowing SignalQueue) throws -> [StepScheduler.Answer] {
        try settle()
        while !policy.isDone {
            guard try turn(signals) else { throw Failure(.interrupted, "interrupted") }
            if let reason = policy.givenUp { throw Failure(.unavailable, reason) }
        }
        return policy.answers
    }

    /// Tells the workers that the training is over.
    func finish() throws {
        try perform(policy.finished(at: .now()))
        try settle()
    }

    override func act(_ action: ClusterAction) throws {
        switch action {
        case .sendParameters(let peer): for part in parts.prefix(Self.partsAhead) { send(part, to: peer) }
        case .sendPart(let peer, let offset):
            let index = offset / RowPart.floatsMax
            if parts.indices.contains(index) { send(parts[index], to: peer) }
        default: break
        }
    }

    override func blocked(_ peer: Peer, _ isBlocked: Bool) throws {
        try perform(policy.blocked(peer, isBlocked, at: now))
    }

    override func tick() throws {
        if let localWorkers, !localWorkers.tend(), policy.connectedCount == 0 {
            throw Failure(.unavailable, "no local worker stays alive (see the lines above)")
        }
        whyIdle = policy.whyIdle(at: now)
        ticked()
        guard now - max(policy.lastAnswerAt, toldAt) > Self.quietMilliseconds else { return }
        toldAt = now
        let help =
            policy.connectedCount == 0 ? "; start one with 'winnow-worker serve --connect \(localEndpoint)'" : ""
        let reason = whyIdle ?? "\(policy.connectedCount) workers are connected, \(workerCount) of them ready"
        note("nothing progresses: \(reason)\(help)")
    }
}
