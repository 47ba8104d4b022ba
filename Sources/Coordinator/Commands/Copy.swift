import Shared

/// `winnow-coordinator copy`.
struct Copy: Command {
    static let description = CommandDescription(
        name: "copy",
        summary: "copy a run file, even while its run is active",
        discussion: """
            A run file that is in use, or whose coordinator was killed, keeps its last evaluations in a second file beside \
            it, FILE-wal. Copying the first alone silently loses them. This copies everything into one file:

              winnow-coordinator copy --run resnet20.winnow --to /backup/resnet20.winnow
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("The copy.", value: "FILE") var to: String

    func run() throws {
        let file = try RunFile.read(at: runFile)
        try file.copy(to: to)
        print("\(to): \(try RunFile.read(at: to).evaluationCount()) evaluations")
    }
}
