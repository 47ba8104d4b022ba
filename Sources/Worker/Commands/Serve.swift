import Foundation
import Shared

/// `winnow-worker serve`.
struct Serve: Command {
    static let description = CommandDescription(
        name: "serve",
        summary: "work for a coordinator",
        discussion: """
            Connects to a coordinator, downloads the network and the images, and evaluates masks or computes shares of \
            training steps until stopped. You can start it before the coordinator; it keeps retrying while the \
            coordinator is away:

              winnow-worker serve --connect tcp://HOST:5555

            With keys ('winnow-coordinator keygen' makes them):

              winnow-worker serve --connect tcp://HOST:5555 --key-file worker.key --server-key-file coordinator.pub

            You can give the keys in the environment instead, as WINNOW_SECRET_KEY and WINNOW_SERVER_KEY.
            """)

    @Option("The coordinator's address.", value: "tcp://HOST:PORT") var connect: String
    @Option("Compute threads. By default all processors available to this process.", value: "N") var threads: Int?
    @Option(
        "Cache for networks and images. By default $XDG_CACHE_HOME/winnow or ~/.cache/winnow.", value: "DIR")
    var cache: String?
    @Option("Largest size of the cache, in megabytes.", value: "MB") var cacheSize: Int = 4096
    @Option(
        "Largest network or image set to accept from a coordinator, in megabytes. By default half of this "
            + "machine's memory.", value: "MB") var fetchLimit: Int?
    @Option("A checkpoint on this host, to avoid downloading it.", value: "FILE") var model: String?
    @Option("Labelled images on this host, to avoid downloading them.", value: "PATH") var data: String?
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("This worker's secret key.", value: "FILE") var keyFile: String?
    @Option("The coordinator's public key.", value: "FILE") var serverKeyFile: String?
    @Option("Exit after this many seconds without a coordinator. By default never.", value: "SECONDS")
    var giveUpAfter: Int?
    @Flag("Exit when the run ends, instead of waiting for the next one.") var once: Bool
    @Flag("Exit when standard input closes; the coordinator starts its local workers with this.") var stopWhenInputEnds:
        Bool

    func validate() throws {
        _ = try Endpoint(connectingTo: connect, option: "--connect")
        if let threads, !(1...1024).contains(threads) { throw Failure(.usage, "--threads must be from 1 to 1024") }
        if let giveUpAfter, giveUpAfter < 1 { throw Failure(.usage, "--give-up-after must be at least 1") }
        try dataFormat.validate()
        if let fetchLimit, !(1...Int(Wire.blobBytesMax >> 20)).contains(fetchLimit) {
            throw Failure(.usage, "--fetch-limit must be from 1 to \(Wire.blobBytesMax >> 20)")
        }
        guard cacheSize >= 0 else { throw Failure(.usage, "--cache-size must not be negative") }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        // A coordinator that started this worker adds the time to its lines.
        if stopWhenInputEnds { Log.shared.omitTime() }
        let threads = threads ?? CPUAllowance.processors
        let instructionSet = try InstructionSet.preferred()
        let cache = try BlobCache(folder: cache ?? BlobCache.defaultFolder, bytesMax: Int64(cacheSize) << 20)
        let library = BlobLibrary(
            cache: cache, model: model, data: data.map { dataFormat.source($0) },
            blobBytesMax: fetchLimit.map { UInt64($0) << 20 } ?? BlobLibrary.blobBytesDefault)
        var settings = WorkerLoop.Settings(endpoint: connect)
        settings.security = try security()
        settings.isOnce = once
        settings.endsWithInput = stopWhenInputEnds
        settings.giveUpAfterMilliseconds = giveUpAfter.map { Int64($0) * 1000 }
        let identity = WorkerIdentity(in: cache.folder)
        defer { withExtendedLifetime(identity) {} }
        let hello = WorkerMessage.Hello(
            worker: identity.worker, incarnation: identity.incarnation,
            host: ProcessInfo.processInfo.hostName, threads: threads,
            instructionSet: instructionSet.rawValue, programVersion: Version.number)
        Log.shared.line(
            "worker \(hello.worker.description.prefix(8)) with \(threads) threads (\(instructionSet.rawValue)) serves \(connect)"
        )
        let loop = try WorkerLoop(settings, workbench: Workbench(library: library, threads: threads), hello: hello)
        try loop.run(signals: signals)
    }

    /// The keys from the files or the environment; nil if there are none.
    private func security() throws -> SocketOptions.Security? {
        let own =
            try keyFile.map { try KeyFile.secretKey(at: $0) } ?? KeyFile.secretKey(inEnvironment: "WINNOW_SECRET_KEY")
        let server =
            try serverKeyFile.map { try KeyFile.publicKey(at: $0) }
            ?? KeyFile.publicKey(inEnvironment: "WINNOW_SERVER_KEY")
        switch (own, server) {
        case (let own?, let server?): return .client(own, server: server)
        case (nil, nil): return nil
        case (_?, nil):
            throw Failure(.usage, "a worker with a key also needs the coordinator's public key: --server-key-file")
        case (nil, _?):
            throw Failure(.usage, "a worker that has the coordinator's public key also needs its own key: --key-file")
        }
    }
}
