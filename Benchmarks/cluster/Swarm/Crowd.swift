import Shared
import Worker

/// The light workers of one thread.
struct Crowd {
    /// What all of them do.
    struct Settings: Sendable {
        /// Where the coordinator listens.
        var endpoint: String
        /// How long a lease is held before it is answered.
        var leaseMilliseconds: Int64
        /// The compute time of a mask that is reported.
        var maskMicroseconds: UInt64
    }

    /// One worker: a socket and the worker's protocol.
    private final class Member {
        let socket: Socket
        var state: WorkerProtocol
        var images = 0
        /// The lease that is held, and when it is answered.
        var answer: (lease: CoordinatorMessage.Lease, at: Moment)?
        var isDone = false

        init(in context: Context) throws {
            var options = SocketOptions()
            options.reconnectMilliseconds = (1000, 5000)
            socket = try Socket(.dealer, in: context, options: options)
            state = WorkerProtocol(
                hello: .init(
                    worker: .random(), incarnation: 1, host: "swarm", threads: 1, instructionSet: "none",
                    programVersion: Version.number), at: .now())
        }
    }

    private var members: [Member] = []
    private let settings: Settings

    init(_ count: Int, _ settings: Settings, in context: Context) throws {
        self.settings = settings
        for _ in 0..<count {
            let member = try Member(in: context)
            try member.socket.connect(to: settings.endpoint)
            members.append(member)
        }
    }

    /// Answers until the run is over for all.
    func serve() throws {
        var poller = Poller()
        for member in members { _ = poller.watch(member.socket) }
        var nextRound = Moment.now()
        while !members.allSatisfy({ $0.isDone }) {
            try poller.wait(milliseconds: 20)
            let now = Moment.now()
            for (index, member) in members.enumerated() where poller.isReadable(index) && !member.isDone {
                while let message = try member.socket.receive() {
                    try perform(member.state.received(CoordinatorMessage(decoding: message.frames[0]), at: now), member)
                }
            }
            guard nextRound <= now else { continue }
            nextRound = now + 20
            for member in members where !member.isDone {
                if let answer = member.answer, answer.at <= now {
                    member.answer = nil
                    try complete(answer.lease, member, at: now)
                }
                if member.state.nextDeadline <= now { try perform(member.state.timePassed(at: now), member) }
            }
        }
    }

    private func complete(_ lease: CoordinatorMessage.Lease, _ member: Member, at now: Moment) throws {
        let evaluations = lease.job.masks.map { mask in
            MaskEvaluation(
                mask: mask,
                evaluation: Evaluation(
                    lossSum: Int64(mask % 997 + 1) << 30, correct: mask % (member.images + 1), images: member.images))
        }
        try perform(
            member.state.computed(
                lease.lease, evaluations: evaluations,
                microseconds: settings.maskMicroseconds * UInt64(evaluations.count),
                at: now), member)
    }

    private func perform(_ actions: [WorkerProtocol.Action], _ member: Member) throws {
        var todo = actions[...]
        while let action = todo.popFirst() {
            switch action {
            case .send(let message): _ = try member.socket.send(message.encoded())
            case .locate(let blob): todo += member.state.blobLocated(blob.digest, bytes: 0, isWhole: true, at: .now())
            case .prepare(let welcome):
                member.images = welcome.masks?.settings.images ?? 0
                todo += member.state.prepared(welcome.run, at: .now())
            case .compute(let lease):
                if settings.leaseMilliseconds > 0 {
                    member.answer = (lease, .now() + settings.leaseMilliseconds)
                } else {
                    try complete(lease, member, at: .now())
                }
            case .stop: member.isDone = true
            case .abandon: member.answer = nil
            case .connect, .disconnect, .store, .check, .load, .note: break
            }
        }
    }
}
