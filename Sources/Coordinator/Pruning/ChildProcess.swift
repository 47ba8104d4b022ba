import Foundation
import Shared

/// Runs a program to its end.
enum ChildProcess {
    /// Its output and exit code; its standard error is ours. Throws an `.unavailable` ``Failure`` if it cannot be
    /// started.
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
