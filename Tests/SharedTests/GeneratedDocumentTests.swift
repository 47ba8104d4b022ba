import Foundation
import Testing

@testable import Shared

private struct Sample: Command {
    static let description = CommandDescription(
        name: "sample", summary: "A sample: it's [small].",
        discussion: """
            The first paragraph says
            what it does.

                p sample --model 'a b' there
                .dotted

            The last \\ one.
            """)
    @Option("Its 'model' [or another]: a file.", value: "FILE") var model: String
    @Option("A number.", value: "N") var localWorkers: Int = 2
    @Option("Split.", value: "SPLIT") var split: EvaluationSettings.Split = .test
    @Flag("Say more.") var verbose: Bool
    @Argument("Where to.", value: "TARGET") var target: String
    func run() throws {}
}

private let program = Program(name: "p-q", summary: "tests documents", version: "1", commands: [Sample.self])

/// Runs a program on a text. Returns its exit status and what it printed.
private func pipe(_ text: String, into words: [String]) throws -> (status: Int32, output: String) {
    let file = FileManager.default.temporaryDirectory.appending(path: "winnow-document-\(UUID().uuidString)")
    try Data(text.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = words.map { $0 == "FILE" ? file.path : $0 }
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}

private func has(_ tool: String) -> Bool {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
        FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)")
    }
}

@Test func aDocumentIsGeneratedOnRequest() throws {
    for document in ["bash", "zsh", "fish", "manual"] {
        guard case .text(let text) = try program.parse(["--generate", document]) else {
            Issue.record("no text for \(document)")
            continue
        }
        #expect(text.contains("sample"))
    }
    #expect(throws: Failure.self) { try program.parse(["--generate", "novel"]) }
}

@Test(.enabled(if: has("bash"))) func bashCompletesSubcommandsOptionsAndChoices() throws {
    func completions(of words: String) throws -> Set<String> {
        let script = """
            \(program.bashCompletion)
            COMP_WORDS=(\(words)) COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
            _p_q
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let (status, output) = try pipe(script, into: ["bash", "FILE"])
        #expect(status == 0, "\(output)")
        return Set(output.split(separator: "\n").map(String.init))
    }
    #expect(try completions(of: "p-q s") == ["sample"])
    #expect(try completions(of: "p-q sample --l") == ["--local-workers"])
    #expect(try completions(of: "p-q sample --split ''") == ["test", "train"])
    #expect(try completions(of: "p-q sample --model /etc/passw").contains("/etc/passwd"))
}

@Test(.enabled(if: has("zsh"))) func zshAcceptsItsCompletion() throws {
    let (status, output) = try pipe(program.zshCompletion, into: ["zsh", "-n", "FILE"])
    #expect(status == 0 && output.isEmpty, "\(output)")
}

@Test(.enabled(if: has("fish"))) func fishCompletesOptionsAndChoices() throws {
    let script = """
        \(program.fishCompletion)
        complete -C 'p-q sam'
        complete -C 'p-q sample --spl'
        complete -C 'p-q sample --split '
        """
    let (status, output) = try pipe(script, into: ["fish", "--no-config", "FILE"])
    #expect(status == 0)
    let offered = output.split(separator: "\n").map { $0.split(separator: "\t").first.map(String.init) ?? "" }
    #expect(offered == ["sample", "--split", "test", "train"], "\(output)")
}

@Test(.enabled(if: has("mandoc"))) func theManualPageIsWellFormed() throws {
    let (status, output) = try pipe(program.manualPage, into: ["mandoc", "-T", "lint", "-W", "warning", "FILE"])
    #expect(status == 0, "\(output)")
}

@Test(.enabled(if: has("mandoc"))) func theManualPageShowsEveryOptionAndExample() throws {
    let (_, output) = try pipe(program.manualPage, into: ["mandoc", "-T", "ascii", "FILE"])
    // Bold is a character struck twice.
    let shown = output.replacing(/.\u{8}/, with: "")
    for text in ["--model FILE", "--split SPLIT", "p sample --model 'a b' there", ".dotted", "The last \\ one."] {
        #expect(shown.contains(text), "\(text) in \(shown)")
    }
}
