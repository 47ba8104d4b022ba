import Foundation
import Shared

/// `winnow-coordinator status`.
struct Status: Command {
    static let description = CommandDescription(
        name: "status",
        summary: "show the progress of a run or a compression",
        discussion: """
            Reads a run file or a compression's folder, even while a coordinator works on it, and shows what is evaluated, \
            the progress, the workers, and, if it is stuck, why. 'winnow-coordinator story' prints the history.

              winnow-coordinator status --run resnet20.winnow
              winnow-coordinator status --run compressed --watch
            """)

    @Option("The run file, or a compression's folder.", name: "run", value: "FILE") var runFile: String
    @Flag("Print JSON, for programs.") var json: Bool
    @Flag("Refresh every two seconds until no coordinator works on it.") var watch: Bool

    private static let watchSeconds: UInt32 = 2

    func run() throws {
        while true {
            let (text, isRunning) = try status()
            // On a terminal the new status replaces the old one.
            if watch, isatty(STDOUT_FILENO) == 1 { print("\u{1B}[H\u{1B}[2J", terminator: "") }
            print(text)
            fflush(nil)
            guard watch, isRunning else { return }
            sleep(Self.watchSeconds)
        }
    }

    private func status() throws -> (text: String, isRunning: Bool) {
        if CompressionStatus.isThere(runFile) {
            let status = try CompressionStatus(of: runFile)
            return (try json ? Self.json(status) : status.text, status.state == .running)
        }
        let status = try RunStatus(RunFile.read(at: runFile))
        return (try json ? Self.json(status) : status.text, status.state == .running)
    }

    private static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
