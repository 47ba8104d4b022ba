import Foundation
import Shared

/// `winnow-worker serve`.
struct Serve: Command {
    static let description = CommandDescription(
        name: "serve",
        summary: "compute for a coordinator",
        discussion: """
            Connects to a coordinator, gets the network and the images from it, and evaluates masks or computes shares of \
            a training until it is stopped. \
            It may be started before the coordinator, and goes on trying when the coordinator is gone:

              winnow-worker serve --connect tcp://HOST:5555

            With keys ('winnow-coordinator keygen' makes them):

              winnow-worker serve --connect tcp://HOST:5555 --key-file worker.key --server-key-file coordinator.pub

            The keys may stand in the environment instead, in WINNOW_SECRET_KEY and WINNOW_SERVER_KEY.
            """)

    @Option("Where the coordinator listens.", value: "tcp://HOST:PORT") var connect: String
    @Option("Compute threads; all processors that it may use, where not given.", value: "N") var threads: Int?
    @Option(
        "Where networks and images are kept; $XDG_CACHE_HOME/winnow or ~/.cache/winnow, where not given.", value: "DIR")
    var cache: String?
    @Option("The most that the cache holds, in megabytes.", value: "MB") var cacheSize: Int = 4096
    @Option(
        "The largest network or set of images that is taken from a coordinator, in megabytes; half of this machine's memory, "
            + "where not given.", value: "MB") var fetchLimit: Int?
    @Option("A checkpoint on this host, so that it need not be fetched.", value: "FILE") var model: String?
    @Option("Labelled images on this host, so that they need not be fetched.", value: "PATH") var data: String?
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("This worker's secret key.", value: "FILE") var keyFile: String?
    @Option("The coordinator's public key.", value: "FILE") var serverKeyFile: String?
    @Option("Give up after so many seconds without a coordinator. By default never.", value: "SECONDS")
    var giveUpAfter: Int?
    @Flag("End when the run ends, instead of waiting for the next one.") var once: Bool
    @Flag("End when the standard input does; the coordinator starts its local workers so.") var stopWhenInputEnds: Bool

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

    /// The keys from the files or the environment; nil where there are none.
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
            throw Failure(.usage, "a worker with a key needs the coordinator's public key too: --server-key-file")
        case (nil, _?): throw Failure(.usage, "a worker that knows the coordinator's key needs its own: --key-file")
        }
    }
}
