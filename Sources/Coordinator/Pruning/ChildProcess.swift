import Foundation
import Shared

/// A program that is run to its end.
enum ChildProcess {
    /// What it printed, and its exit code; its standard error is ours. Throws an `.unavailable` ``Failure`` where it
    /// cannot be started.
    static func output(of program: String, _ arguments: [String]) throws -> (printed: Data, exitCode: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        do { try process.run() } catch {
            throw Failure(.unavailable, "cannot start \(program): \(error.localizedDescription)")
        }
        let printed = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (printed, process.terminationStatus)
    }
}
