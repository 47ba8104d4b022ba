import Foundation
import Testing

/// The package's folder.
private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// The scripts of `Tests/scripts`, each a test of one way to install or start the programs.
private let scripts: [String] =
    (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: "Tests/scripts").path))?
    .filter { $0.hasSuffix(".sh") && $0 != "common.sh" }.sorted() ?? []

/// The folder of the programs that were built together with this test.
private let binaries = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()

@Suite(.serialized) struct ScriptTests {
    @Test func thereAreScripts() {
        #expect(!scripts.isEmpty)
    }

    /// Runs one script. Exit status 77 means that a tool it needs is not here; its last line says which.
    @Test(arguments: scripts) func theScriptPasses(script: String) throws {
        let log = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID().uuidString).log")
        #expect(FileManager.default.createFile(atPath: log.path, contents: nil))
        defer { try? FileManager.default.removeItem(at: log) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // A sanitizer makes programs several times slower; './test' then gives them more.
        let seconds = ProcessInfo.processInfo.environment["WINNOW_SCRIPT_SECONDS"] ?? "400"
        process.arguments = ["timeout", "--kill-after=10", seconds, "bash", "Tests/scripts/\(script)"]
        process.currentDirectoryURL = root
        process.environment = ProcessInfo.processInfo.environment.merging(["WINNOW_BINARIES": binaries.path]) { $1 }
        // A file, not a pipe: a process that a script leaves behind would keep a pipe open.
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let text = String(decoding: try Data(contentsOf: log), as: UTF8.self)
        if process.terminationStatus == 77 {
            let reason = text.split(separator: "\n").last.map(String.init) ?? "no reason given"
            #if compiler(>=6.3)
                try Test.cancel("\(script) is skipped: \(reason)")
            #else
                print("\(script) is skipped: \(reason)")
                return
            #endif
        }
        #expect(process.terminationStatus == 0, "\(script):\n\(text.suffix(6000))")
    }
}
