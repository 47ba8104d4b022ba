import Foundation
import Shared

/// The options on workers: where to listen, whom to admit, how many to start here.
struct ClusterOptions {
    /// The most workers to start here.
    private static let localWorkersMax = 256
    private static let secretKeyVariable = "WINNOW_SECRET_KEY"

    @Option("Where to listen for workers; port 0 picks a free port and prints it.", value: "ENDPOINT")
    var bind: String = "tcp://127.0.0.1:0"
    @Option("Workers to start on this host; 1 if --bind is not given either.", value: "K") var localWorkers: Int?
    @Option("Compute threads per local worker. By default they share the processors.", value: "N")
    var workerThreads: Int?
    @Option(
        "The coordinator's secret key (see 'keygen'). By default, the key in WINNOW_SECRET_KEY.",
        value: "FILE")
    var keyFile: String?
    @Option("Public key of a worker to admit. May be repeated.", value: "FILE") var admit: [String]
    @Flag("Listen beyond this host without keys, on a network you trust.") var insecure: Bool
    @Option(
        "Most masks per lease; leases are sized for one to two seconds of a worker's time.", value: "N")
    var masksPerLease: Int = Wire.masksPerLeaseMax
    @Option("Cache folder of the local workers.", value: "DIR") var workerCache: String?

    /// Checks what no single option can. Throws a `.usage` ``Failure``.
    func validate() throws {
        if let localWorkers, !(0...Self.localWorkersMax).contains(localWorkers) {
            throw Failure(.usage, "--local-workers must be from 0 to \(Self.localWorkersMax)")
        }
        guard (1...Wire.masksPerLeaseMax).contains(masksPerLease) else {
            throw Failure(.usage, "--masks-per-lease must be from 1 to \(Wire.masksPerLeaseMax)")
        }
        if let workerThreads, !(1...1024).contains(workerThreads) {
            throw Failure(.usage, "--worker-threads must be from 1 to 1024")
        }
    }

    /// The policy of a run's scheduler.
    func policy(for run: RunDescription) -> SchedulingPolicy {
        var policy = SchedulingPolicy()
        policy.maskGroup = run.ensemble.masksSharingWork
        policy.maskSubgroup = run.ensemble.masksSharingMost
        policy.verifiedShare = run.verifiedShare
        // Files of earlier releases have a share only if the user gave it.
        policy.verificationWaits = run.verificationWaits ?? (run.verifiedShare > 0)
        policy.ownWorkersOnlyJudge = localWorkerCount == 0
        policy.verificationSeed = run.ensemble.seed
        policy.masksPerLeaseMax = masksPerLease
        policy.firstLeaseMasks = min(policy.firstLeaseMasks, masksPerLease)
        return policy
    }

    /// The same for what is computed on this host alone.
    var onThisHost: ClusterOptions {
        let options = ClusterOptions()
        options.workerCache = workerCache
        return options
    }

    /// How many workers to start here.
    private var localWorkerCount: Int { localWorkers ?? ($bind.isGiven ? 0 : 1) }

    /// What the user must give again to resume: the run file remembers where keys are, never a key.
    var secretsToGiveAgain: String {
        let isInEnvironment = keyFile == nil && ProcessInfo.processInfo.environment[Self.secretKeyVariable] != nil
        return isInEnvironment ? ", with \(Self.secretKeyVariable) set as before" : ""
    }

    /// Listens, at --bind or another endpoint. Throws a ``Failure``.
    func listen(at endpoint: String? = nil) throws -> Listener {
        let bind = endpoint ?? bind
        let own =
            try keyFile.map { try KeyFile.secretKey(at: $0) }
            ?? KeyFile.secretKey(inEnvironment: Self.secretKeyVariable)
        guard let own else {
            guard admit.isEmpty else { throw Failure(.usage, "--admit needs the coordinator's own key: --key-file") }
            // Only workers started here are expected: they prove themselves with a one-time key.
            if !$bind.isGiven, localWorkerCount > 0 {
                return try Listener(
                    at: bind, admitting: .holders(of: [], own: KeyPair.generate()), isInsecureMeant: false)
            }
            return try Listener(at: bind, admitting: .everybody, isInsecureMeant: insecure)
        }
        let keys = Set(try admit.map { try KeyFile.publicKey(at: $0) })
        guard !keys.isEmpty || localWorkerCount > 0 else {
            throw Failure(.usage, "with --key-file, --admit must name the public keys of the workers")
        }
        return try Listener(at: bind, admitting: .holders(of: keys, own: own), isInsecureMeant: insecure)
    }

    /// Starts the local workers; nil where there are none. What quiet ones say is shown when one of them fails. Throws a
    /// ``Failure``.
    func startLocalWorkers(
        connectingTo endpoint: String, environment: [String: String], isQuiet: Bool = false
    ) throws -> LocalWorkers? {
        guard localWorkerCount > 0 else { return nil }
        return try start(
            localWorkerCount, threads: workerThreads, connectingTo: endpoint, environment: environment, isQuiet: isQuiet
        )
    }

    /// Starts a local worker that judges others; nil if local workers run anyway, or cannot prove their origin. It uses
    /// one thread.
    func referee(at listener: borrowing Listener) -> (() throws -> LocalWorkers)? {
        guard localWorkerCount == 0, listener.knowsItsOwn else { return nil }
        let (endpoint, environment) = (listener.localEndpoint, listener.localEnvironment)
        return { try start(1, threads: 1, connectingTo: endpoint, environment: environment) }
    }

    private func start(
        _ count: Int, threads: Int?, connectingTo endpoint: String, environment: [String: String], isQuiet: Bool = false
    ) throws -> LocalWorkers {
        var arguments = ["serve", "--connect", endpoint, "--stop-when-input-ends", "--once"]
        if let threads = threads ?? (count > 1 ? max(1, CPUAllowance.processors / count) : nil) {
            arguments += ["--threads", String(threads)]
        }
        if let workerCache { arguments += ["--cache", workerCache] }
        return try LocalWorkers(count: count, arguments: arguments, environment: environment, isQuiet: isQuiet)
    }
}
