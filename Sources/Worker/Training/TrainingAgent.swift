import Foundation
import Shared

/// A worker's side of a distributed training: gets the network and the images from the coordinator, and then computes
/// what it is told, for as many steps as the training has. It connects again whenever the coordinator is away.
final class TrainingAgent {
    /// How a worker's part ends.
    enum Ending: Equatable {
        /// The training is over, or the coordinator went on to something else.
        case finished
        /// Whoever started this process is gone, or wants it to end.
        case stopped
    }

    private static let heartbeatMilliseconds: Int64 = 1000
    /// The coordinator is gone when it is silent for so long; it beats every second while it waits for workers.
    private static let silenceMilliseconds: Int64 = 10_000
    /// Parts of a blob that are asked for at a time.
    private static let window = 8

    /// What of the training is here.
    private enum Stage {
        case greeting
        case fetching(TrainingWelcome, BlobFetch)
        case ready(TrainingWelcome, TrainingPool, ParameterLayout)
    }

    private let endpoint: String
    private let security: SocketOptions.Security?
    /// How long it goes on without a coordinator, in milliseconds; nil for ever.
    private let giveUpAfterMilliseconds: Int64?
    private let hello: WorkerMessage.Hello
    private let threads: Int
    private let library: BlobLibrary
    private let context: Context
    private let finished: WakeUp
    /// Blobs of the training that are here.
    private var held: Set<Digest> = []
    private var stage = Stage.greeting
    private var assembly: FloatsAssembly?
    private var parameters: (version: UInt64, values: ShardTrainer.Parameters)?
    private var lastHeard = Moment.now()
    private var lastBeat = Moment.now()

    /// A worker that will connect to `endpoint` and looks for networks and images in `library` first.
    /// It gives up where no coordinator is there for so many milliseconds.
    init(
        endpoint: String, security: SocketOptions.Security?, threads: Int, library: BlobLibrary,
        giveUpAfterMilliseconds: Int64? = nil
    ) throws {
        self.endpoint = endpoint
        self.giveUpAfterMilliseconds = giveUpAfterMilliseconds
        self.security = security
        self.threads = threads
        self.library = library
        context = try Context()
        finished = try WakeUp()
        hello = WorkerMessage.Hello(
            worker: .random(), incarnation: UInt64(Date().timeIntervalSince1970 * 1000),
            host: ProcessInfo.processInfo.hostName, threads: threads, instructionSet: "oneDNN",
            programVersion: Version.number)
    }

    /// Works until the training is over, or one of the descriptors `stops` becomes readable, which says that the process
    /// is to end. Throws a ``Failure`` where the coordinator does not want this worker.
    func run(stops: [Int32]) throws -> Ending {
        defer { if case .ready(_, let pool, _) = stage { pool.stop() } }
        lastHeard = Moment.now()
        while true {
            if let ending = try talk(stops) { return ending }
            if let limit = giveUpAfterMilliseconds, Moment.now() - lastHeard > limit {
                throw Failure(
                    .unavailable, "no coordinator at \(endpoint) for \(limit / 1000) s; is it running and reachable?")
            }
            Log.shared.line("no word from the coordinator at \(endpoint); connecting again")
        }
    }

    /// One connection; nil where the coordinator fell silent.
    private func talk(_ stops: [Int32]) throws -> Ending? {
        var options = SocketOptions()
        options.receivedFrameBytesMax = Int64(Wire.messageBytesMax)
        options.sendQueueMax = 4096
        options.security = security
        let socket = try Socket(.dealer, in: context, options: options)
        try socket.connect(to: endpoint)
        var poller = Poller()
        let messages = poller.watch(socket)
        let outcomes = poller.watch(descriptor: finished.descriptor)
        let stopping = stops.map { poller.watch(descriptor: $0) }
        let begin = Moment.now()
        let patience = min(Self.silenceMilliseconds, giveUpAfterMilliseconds ?? .max)
        try greet(socket)
        while true {
            try poller.wait(milliseconds: Int(Self.heartbeatMilliseconds / 2))
            if stopping.contains(where: { poller.isReadable($0) }) {
                _ = try socket.send(WorkerMessage.goodbye(keeping: []).encoded())
                return .stopped
            }
            if poller.isReadable(messages) {
                while let message = try socket.receive() {
                    guard message.frames.count == 1 else { continue }
                    lastHeard = Moment.now()
                    if let ending = try take(message.frames[0], socket) { return ending }
                }
            }
            if poller.isReadable(outcomes) {
                finished.clear()
                try answer(socket)
            }
            let now = Moment.now()
            if now - max(lastHeard, begin) > patience { return nil }
            if now - lastBeat >= Self.heartbeatMilliseconds {
                lastBeat = now
                switch stage {
                case .greeting: try greet(socket)
                case .fetching: try ask(socket, again: true)
                case .ready(let welcome, _, _):
                    // The first `ready` may have been lost.
                    let beat: WorkerMessage =
                        parameters == nil ? .ready(welcome.run) : .heartbeat([], seen: LeaseID(life: 0, number: 0))
                    _ = try socket.send(beat.encoded())
                }
            }
        }
    }

    private func greet(_ socket: borrowing Socket) throws {
        _ = try socket.send(WorkerMessage.hello(hello).encoded())
    }

    private func take(_ bytes: [UInt8], _ socket: borrowing Socket) throws -> Ending? {
        do {
            if TrainingOrder.mayBe(bytes) {
                switch try TrainingOrder(decoding: bytes) {
                case .welcome(let welcome): try enter(welcome, socket)
                case .parameters(let part): take(part)
                case .task(let task): try take(task, socket)
                }
                return nil
            }
            switch try CoordinatorMessage(decoding: bytes) {
            case .chunk(let chunk): try take(chunk, socket)
            case .introduce: try greet(socket)
            case .finished, .welcome: return .finished
            case .dismissed(let reason):
                throw Failure(.unavailable, "the coordinator does not want this worker: \(reason)")
            case .heartbeat, .lease, .acknowledged, .cancel: break
            }
        } catch let error as WireError {
            if case .otherVersion = error { throw Failure(.unavailable, error.description) }
            Log.shared.line("dropped \(error)")
        }
        return nil
    }

    // MARK: The network and the images

    private func enter(_ welcome: TrainingWelcome, _ socket: borrowing Socket) throws {
        switch stage {
        case .ready(let known, _, _) where known == welcome:
            _ = try socket.send(WorkerMessage.ready(welcome.run).encoded())
            return
        case .fetching(let known, _) where known == welcome: return
        case .ready(_, let pool, _): pool.stop()
        case .fetching, .greeting: break
        }
        parameters = nil
        assembly = nil
        held = []
        try fetchNext(welcome, socket)
    }

    private func fetchNext(_ welcome: TrainingWelcome, _ socket: borrowing Socket) throws {
        for blob in welcome.blobs where !held.contains(blob.digest) {
            if library.locate(blob) { held.insert(blob.digest) }
        }
        if let missing = welcome.blobs.first(where: { !held.contains($0.digest) }) {
            try library.check(missing)
            stage = .fetching(welcome, BlobFetch(missing, window: Self.window))
            try ask(socket, again: false)
        } else {
            try prepare(welcome)
            _ = try socket.send(WorkerMessage.ready(welcome.run).encoded())
        }
    }

    private func ask(_ socket: borrowing Socket, again: Bool) throws {
        guard case .fetching(_, let fetch) = stage else { return }
        for range in again ? fetch.repeated() : fetch.next() {
            _ = try socket.send(WorkerMessage.want(range).encoded())
        }
    }

    private func take(_ chunk: CoordinatorMessage.Chunk, _ socket: borrowing Socket) throws {
        guard case .fetching(let welcome, let fetch) = stage else { return }
        fetch.take(chunk)
        guard fetch.isWhole else { return try ask(socket, again: false) }
        guard library.keep(fetch.bytes, as: fetch.blob) else {
            throw Failure(.unavailable, "what the coordinator sent is not what it announced")
        }
        held.insert(fetch.blob.digest)
        try fetchNext(welcome, socket)
    }

    private func prepare(_ welcome: TrainingWelcome) throws {
        func network(_ blob: CoordinatorMessage.Blob) throws -> Network {
            try Checkpoint.network(bytes: library.take(blob), name: "the network from the coordinator")
        }
        let graph = try network(welcome.network).graph
        func images(_ blob: CoordinatorMessage.Blob) throws -> ImageLoader {
            let set = try ImageSet(blob: library.take(blob), name: "the images from the coordinator")
            try set.check(fits: graph)
            try set.check(welcome.normalisation)
            return ImageLoader(set, welcome.normalisation, cutout: welcome.cutout, mirrors: welcome.mirrors)
        }
        let materials = TrainingPool.Materials(
            graph: graph, teacher: try welcome.teacher.map(network), loss: welcome.loss,
            shardSize: welcome.shardSize, precision: welcome.precision,
            trainingImages: try images(welcome.trainingImages), testImages: try images(welcome.testImages))
        // What this processor cannot compute is known before anything is asked of it.
        _ = try TrainingPlan(graph, images: 1, purpose: .training, precision: welcome.precision)
        let pool = TrainingPool(threads: threads, materials, finished: finished)
        stage = .ready(welcome, pool, ParameterLayout(graph))
    }

    // MARK: Tasks

    private func take(_ part: FloatsPart) {
        guard case .ready(_, _, let layout) = stage else { return }
        let expected = layout.trainedCount + layout.statisticsCount
        if part.offset == 0 {
            assembly = FloatsAssembly(part, expected: expected)
        } else if assembly?.append(part) != true {
            assembly = nil
        }
        guard let row = assembly?.row else { return }
        parameters = (
            part.subject,
            ShardTrainer.Parameters(
                trained: Array(row[..<layout.trainedCount]), statistics: Array(row[layout.trainedCount...]))
        )
        assembly = nil
    }

    private func take(_ task: TrainingTask, _ socket: borrowing Socket) throws {
        guard case .ready(_, let pool, _) = stage, let parameters, parameters.version == task.version else {
            let reason = "the parameters of version \(task.version) are not here"
            _ = try socket.send(TrainingAnswer.failed(task: task.number, reason: reason).encoded())
            return
        }
        pool.submit(task, with: parameters.values)
    }

    private func answer(_ socket: borrowing Socket) throws {
        guard case .ready(_, let pool, _) = stage else { return }
        for (task, outcome) in pool.takeOutcomes() {
            switch outcome {
            case .gradient(let result):
                for part in FloatsPart.parts(of: result.gradient + result.statistics, subject: task.number) {
                    _ = try socket.send(TrainingAnswer.gradient(part).encoded())
                }
                let done = TrainingAnswer.shardDone(
                    task: task.number, lossSum: result.lossSum, correct: result.correct, images: result.images)
                _ = try socket.send(done.encoded())
            case .evaluation(let evaluation):
                _ = try socket.send(TrainingAnswer.evaluated(task: task.number, evaluation).encoded())
            case .failure(let reason):
                _ = try socket.send(TrainingAnswer.failed(task: task.number, reason: reason).encoded())
            }
        }
    }
}

/// The parts of one blob as they come. A class, so that its bytes are never copied on their way.
private final class BlobFetch {
    let blob: CoordinatorMessage.Blob
    private let window: Int
    private(set) var bytes: [UInt8] = []
    private var asked: UInt64 = 0

    init(_ blob: CoordinatorMessage.Blob, window: Int) {
        self.blob = blob
        self.window = window
    }

    var isWhole: Bool { UInt64(bytes.count) == blob.size }

    /// What to ask for now.
    func next() -> [WorkerMessage.BlobRange] {
        var ranges: [WorkerMessage.BlobRange] = []
        while asked < blob.size, asked < UInt64(bytes.count + window * Wire.chunkBytesMax) {
            let length = min(UInt64(Wire.chunkBytesMax), blob.size - asked)
            ranges.append(WorkerMessage.BlobRange(digest: blob.digest, offset: asked, length: Int(length)))
            asked += length
        }
        return ranges
    }

    /// What to ask for after a silence: everything that is missing, from the first byte on.
    func repeated() -> [WorkerMessage.BlobRange] {
        asked = UInt64(bytes.count)
        return next()
    }

    /// Takes a part; one that is not the next is dropped and asked for again.
    func take(_ chunk: CoordinatorMessage.Chunk) {
        guard chunk.digest == blob.digest, chunk.offset == UInt64(bytes.count),
            UInt64(bytes.count + chunk.bytes.count) <= blob.size
        else { return }
        bytes += chunk.bytes
    }
}
