import CLinux
import Foundation
import Shared

/// Worker processes on this host that start and end with the coordinator.
///
/// Each has a pipe from the coordinator as its standard input and exits when that closes, so none is left behind even
/// if the coordinator is killed. They have their own process group, so Ctrl-C reaches only the coordinator.
final class LocalWorkers {
    /// Starts of one worker within ``restartWindow`` after which it is given up.
    private static let restartsMax = 5
    private static let restartWindow: TimeInterval = 60
    /// How long workers may take to end before they are killed.
    private static let patience: TimeInterval = 5

    private struct Process {
        var identifier: pid_t
        /// Our end of its standard input.
        var input: Int32
        var starts: [Date]
    }

    private let arguments: [String]
    private let environment: [String]
    private var processes: [Int: Process] = [:]
    private var forwarders: [BackgroundThread] = []

    /// Starts `count` workers, `winnow-worker` with the arguments. Secret keys go through `environment`, never through
    /// arguments. Throws an `.unavailable` ``Failure`` if the program is not found or cannot be started.
    init(count: Int, arguments: [String], environment: [String: String] = [:]) throws {
        let program = try Self.program()
        self.arguments = [program] + arguments
        let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        self.environment = all.map { "\($0.key)=\($0.value)" }
        for number in 1...max(1, count) where count > 0 { try start(number, earlier: []) }
    }

    /// The path of `winnow-worker`: beside this program, or in PATH.
    static func program() throws -> String {
        var candidates: [String] = []
        if let own = Bundle.main.executablePath {
            candidates.append((own as NSString).deletingLastPathComponent + "/winnow-worker")
        }
        let folders = ProcessInfo.processInfo.environment["PATH"] ?? ""
        candidates += folders.split(separator: ":").map { "\($0)/winnow-worker" }
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw Failure(
                .unavailable,
                "winnow-worker, which evaluates the masks, is neither beside winnow-coordinator nor in PATH")
        }
        return found
    }

    private func start(_ number: Int, earlier: [Date]) throws {
        var input: [Int32] = [-1, -1]
        var output: [Int32] = [-1, -1]
        guard winnow_pipe(&input) == 0, winnow_pipe(&output) == 0 else {
            for end in input where end >= 0 { close(end) }
            throw Failure(.unavailable, "cannot start a worker: \(String(cString: strerror(errno)))")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        var identifier: pid_t = 0
        let code = Self.withCStrings(arguments) { words in
            Self.withCStrings(environment) { environment in
                posix_spawn(&identifier, arguments[0], &actions, &attributes, words, environment)
            }
        }
        close(input[0])
        close(output[1])
        guard code == 0 else {
            close(input[1])
            close(output[0])
            throw Failure(.unavailable, "cannot start \(arguments[0]): \(String(cString: strerror(code)))")
        }
        processes[number] = Process(identifier: identifier, input: input[1], starts: earlier + [Date()])
        let source = output[0]
        forwarders.append(BackgroundThread(name: "winnow-log") { Self.forward(source, as: "worker \(number)") })
    }

    /// Restarts workers that have ended. Returns false when all were given up, since each one ends at once.
    func tend() -> Bool {
        for (number, process) in processes {
            var status: Int32 = 0
            guard waitpid(process.identifier, &status, WNOHANG) == process.identifier else { continue }
            close(process.input)
            processes[number] = nil
            let recent = process.starts.filter { $0.timeIntervalSinceNow > -Self.restartWindow }
            let how = status & 0x7F == 0 ? "with exit code \(status >> 8 & 0xFF)" : "by signal \(status & 0x7F)"
            guard recent.count < Self.restartsMax else {
                Log.shared.line("local worker \(number) ended \(how), \(recent.count) times within a minute; given up")
                continue
            }
            Log.shared.line("local worker \(number) ended \(how); restarting it")
            do {
                try start(number, earlier: recent)
            } catch {
                Log.shared.line("gave up local worker \(number): \(error)")
            }
        }
        return !processes.isEmpty
    }

    /// The processes' identifiers.
    var identifiers: [pid_t] { processes.values.map(\.identifier) }

    /// Ends all workers and waits until they are gone.
    func stop() {
        for process in processes.values { close(process.input) }
        let end = Date(timeIntervalSinceNow: Self.patience)
        var waiting = Set(identifiers)
        while !waiting.isEmpty {
            for identifier in waiting where waitpid(identifier, nil, WNOHANG) != 0 { waiting.remove(identifier) }
            guard !waiting.isEmpty else { break }
            if Date() > end { for identifier in waiting { kill(identifier, SIGKILL) } }
            usleep(5_000)
        }
        processes = [:]
        for forwarder in forwarders { forwarder.join() }
        forwarders = []
    }

    /// Copies a worker's lines to the log until it closes its end.
    private static func forward(_ source: Int32, as name: String) {
        defer { close(source) }
        let lineBytesMax = 8192
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(source, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            pending += buffer[..<count]
            while let end = pending.firstIndex(of: UInt8(ascii: "\n"))
                ?? (pending.count > lineBytesMax ? lineBytesMax : nil)
            {
                Log.shared.line("\(name): " + String(decoding: pending[..<end], as: UTF8.self))
                pending.removeFirst(end + 1)
            }
        }
        if !pending.isEmpty { Log.shared.line("\(name): " + String(decoding: pending, as: UTF8.self)) }
    }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }
}
