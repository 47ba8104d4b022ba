import Foundation
import Testing

/// A real process whose output goes to a file.
final class TestProcess {
    private let process = Process()
    private let log: String

    /// Starts a program, looked up in PATH if its name has no slash.
    init(_ command: [String], log: String) throws {
        self.log = log
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        let output = try #require(FileHandle(forWritingAtPath: log))
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    var identifier: pid_t { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    /// What it wrote so far.
    var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    func signal(_ number: Int32) { if process.isRunning { kill(identifier, number) } }

    /// Waits for its end.
    func wait() { process.waitUntilExit() }

    /// Waits for its end and returns its exit code, or minus the signal that ended it.
    func exitCode(seconds: Double = 90, sourceLocation: SourceLocation = #_sourceLocation) async throws -> Int32 {
        try await waitUntil("the process ends; it wrote:\n\(output)", seconds: seconds, sourceLocation: sourceLocation)
        {
            !process.isRunning
        }
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// Waits for a line that contains a text, and returns it.
    @discardableResult
    func line(
        containing text: String, seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        var found: Substring?
        try await waitUntil(
            "a line contains '\(text)'; there is:\n\(output)", seconds: seconds, sourceLocation: sourceLocation
        ) {
            found = output.split(separator: "\n").first { $0.contains(text) }
            return found != nil
        }
        return String(found ?? "")
    }
}

/// Waits until something is so.
func waitUntil(
    _ what: @autoclosure () -> String, seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) async throws {
    let end = Date(timeIntervalSinceNow: seconds)
    while try !condition() {
        guard Date() < end else {
            Issue.record("waited in vain until \(what())", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}
