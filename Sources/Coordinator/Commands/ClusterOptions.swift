import Foundation
import Shared

/// The options that decide who evaluates: where to listen, whom to admit, how many workers to start here.
struct ClusterOptions {
    /// The most workers that are started here.
    private static let localWorkersMax = 256
    private static let secretKeyVariable = "WINNOW_SECRET_KEY"

    @Option("Where to listen for workers; port 0 takes a free one and prints it.", value: "ENDPOINT")
    var bind: String = "tcp://127.0.0.1:0"
    @Option("Workers to start on this host; 1 where --bind is not given either.", value: "K") var localWorkers: Int?
    @Option("Compute threads of each local worker; the processors are shared out, where not given.", value: "N")
    var workerThreads: Int?
    @Option(
        "The coordinator's secret key ('keygen' makes it); WINNOW_SECRET_KEY in the environment, where not given.",
        value: "FILE")
    var keyFile: String?
    @Option("A worker's public key that is admitted. May be repeated.", value: "FILE") var admit: [String]
    @Flag("Listen beyond this host without keys, on a network that you trust.") var insecure: Bool
    @Option(
        "The most masks of one lease; leases are sized to take a worker one to two seconds.", value: "N")
    var masksPerLease: Int = Wire.masksPerLeaseMax
    @Option("The cache folder of the local workers.", value: "DIR") var workerCache: String?

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

    /// The numbers that the scheduler of a run decides by.
    func policy(for run: RunDescription) -> SchedulingPolicy {
        var policy = SchedulingPolicy()
        policy.maskGroup = run.ensemble.masksSharingWork
        policy.maskSubgroup = run.ensemble.masksSharingMost
        policy.verifiedShare = run.verifiedShare
        // Files of earlier releases have a share only where it was asked for.
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

    /// What a person must give again to go on: the run file remembers where keys are, never a key.
    var secretsToGiveAgain: String {
        let isInEnvironment = keyFile == nil && ProcessInfo.processInfo.environment[Self.secretKeyVariable] != nil
        return isInEnvironment ? ", and \(Self.secretKeyVariable) in the environment as before" : ""
    }

    /// Listens, at another endpoint than --bind where one is given. Throws a ``Failure``.
    func listen(at endpoint: String? = nil) throws -> Listener {
        let bind = endpoint ?? bind
        let own =
            try keyFile.map { try KeyFile.secretKey(at: $0) }
            ?? KeyFile.secretKey(inEnvironment: Self.secretKeyVariable)
        guard let own else {
            guard admit.isEmpty else { throw Failure(.usage, "--admit needs the coordinator's own key: --key-file") }
            // Only workers that are started here are meant to come: they prove it by a key made for the occasion.
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

    /// How a worker is started here that judges others; nil where workers work here anyway, or cannot prove whose they
    /// are. It computes with one thread.
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
