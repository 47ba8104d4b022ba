import CLinux
import Foundation
import Shared

/// `winnow-swarm serve`.
struct Swarm: Command {
    static let description = CommandDescription(
        name: "serve", summary: "connect light workers to a coordinator until its run ends",
        discussion: """
            Every worker has a socket and the real worker's protocol, but answers a lease at once, or after \
            --lease-milliseconds, with losses made up from the masks' indices. For measuring the coordinator.
            """)

    @Option("Where the coordinator listens.", value: "tcp://HOST:PORT") var connect: String
    @Option("How many workers.", value: "N") var workers: Int = 100
    @Option("Threads that share them.", value: "N") var threads: Int = 1
    @Option("How long a worker holds a lease before it answers.", value: "MS") var leaseMilliseconds: Int = 0
    @Option("The compute time of a mask that is reported to the coordinator.", value: "US")
    var maskMicroseconds: Int = 10_000

    func validate() throws {
        guard (1...100_000).contains(workers), (1...workers).contains(threads) else {
            throw Failure(.usage, "--workers must be from 1 to 100000, and --threads not more")
        }
    }

    func run() throws {
        let descriptors = winnow_raise_descriptor_limit()
        guard descriptors > 2 * workers + 64 else {
            throw Failure(.unavailable, "\(workers) workers need more than \(descriptors) open files; raise ulimit -n")
        }
        // Each worker has its own socket and so its own connection.
        let context = try Context(socketsMax: 2 * workers + 64)
        let settings = Crowd.Settings(
            endpoint: connect, leaseMilliseconds: Int64(leaseMilliseconds),
            maskMicroseconds: UInt64(max(1, maskMicroseconds)))
        let (workers, threads) = (workers, threads)
        let running = (0..<threads).map { thread in
            BackgroundThread(name: "swarm-\(thread)") {
                let share = workers / threads + (thread < workers % threads ? 1 : 0)
                do {
                    try Crowd(share, settings, in: context).serve()
                } catch {
                    Log.shared.line("\(error)")
                    exit(Failure.Kind.internalFault.rawValue)
                }
            }
        }
        for thread in running { thread.join() }
    }
}
