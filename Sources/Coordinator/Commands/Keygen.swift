import Foundation
import Shared

/// `winnow-coordinator keygen`.
struct Keygen: Command {
    static let description = CommandDescription(
        name: "keygen",
        summary: "make the keys by which a coordinator and its workers authenticate each other",
        discussion: """
            Writes coordinator.key and worker.key, which are secret (mode 600), and coordinator.pub and worker.pub, which \
            are not. The coordinator gets its own secret and the workers' public key, a worker its own secret and the \
            coordinator's public key:

              winnow-coordinator keygen --output keys
              winnow-coordinator run … --bind tcp://0.0.0.0:5555 --key-file keys/coordinator.key --admit keys/worker.pub
              winnow-worker serve --connect tcp://HOST:5555 --key-file keys/worker.key \\
                  --server-key-file keys/coordinator.pub

            Workers may share a key or have one each: for that, run keygen with --worker-only NAME once per worker and \
            give every public key with --admit.
            """)

    @Option(
        "Folder for the keys, created if missing. Existing keys are never overwritten.", value: "DIR")
    var output: String
    @Option("Make only a worker's keys, NAME.key and NAME.pub.", value: "NAME")
    var workerOnly: String?

    func run() throws {
        do {
            try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
        } catch {
            throw Failure(.unavailable, "cannot make the folder \(output)")
        }
        if let workerOnly, workerOnly.contains("/") || workerOnly.isEmpty {
            throw Failure(.usage, "--worker-only must be a plain name, not '\(workerOnly)'")
        }
        for name in workerOnly.map({ [$0] }) ?? ["coordinator", "worker"] {
            try KeyFile.write(KeyPair.generate(), name: name, toFolder: output)
            print("\(output)/\(name).key  secret, for the \(name == "coordinator" ? name : "worker") alone")
            print("\(output)/\(name).pub  public")
        }
    }
}
