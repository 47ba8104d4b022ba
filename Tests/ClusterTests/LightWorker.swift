import Foundation
import Shared

@testable import Worker

/// A worker in this process that answers every lease at once with made-up losses: a mask's index decides them.
final class LightWorker {
    private let stopping: WakeUp
    private let thread: BackgroundThread

    /// Connects and serves until ``stop()`` or the end of the run.
    init(_ endpoint: String, security: SocketOptions.Security? = nil) throws {
        let stopping = try WakeUp()
        self.stopping = stopping
        let context = try Context()
        thread = BackgroundThread(name: "light-worker") {
            // Its end is seen in the coordinator under test.
            try? Self.serve(endpoint, security, in: context, until: stopping)
        }
    }

    /// Stops.
    func stop() {
        stopping.signal()
        thread.join()
    }

    private static func serve(
        _ endpoint: String, _ security: SocketOptions.Security?, in context: Context, until stopping: WakeUp
    ) throws {
        var options = SocketOptions()
        options.security = security
        let socket = try Socket(.dealer, in: context, options: options)
        try socket.connect(to: endpoint)
        var state = WorkerProtocol(
            hello: .init(
                worker: .random(), incarnation: 1, host: "light", threads: 1, instructionSet: "none",
                programVersion: Version.number), at: .now())
        var poller = Poller()
        _ = poller.watch(socket)
        let stop = poller.watch(descriptor: stopping.descriptor)
        var images = 0
        while !poller.isReadable(stop) {
            var todo = state.timePassed(at: .now())[...]
            while let message = try socket.receive() {
                todo += try state.received(CoordinatorMessage(decoding: message.frames[0]), at: .now())
            }
            while let action = todo.popFirst() {
                switch action {
                case .send(let message): _ = try socket.send(message.encoded())
                case .locate(let blob): todo += state.blobLocated(blob.digest, bytes: 0, isWhole: true, at: .now())
                case .prepare(let welcome):
                    images = welcome.masks?.settings.images ?? 0
                    todo += state.prepared(welcome.run, at: .now())
                case .compute(let lease):
                    let evaluations = lease.job.masks.map { mask in
                        let lossSum = Int64(mask % 997 + 1) << 30
                        return MaskEvaluation(
                            mask: mask, evaluation: Evaluation(lossSum: lossSum, correct: mask % images, images: images)
                        )
                    }
                    todo += state.computed(lease.lease, evaluations: evaluations, microseconds: 1000, at: .now())
                case .stop: return
                case .connect, .disconnect, .store, .check, .load, .abandon, .note: break
                }
            }
            try poller.wait(milliseconds: 50)
        }
    }
}
