import Foundation
import Shared

/// Builds a report from a run file, or compares two runs.
struct ReportCommand: Command {
    static let description = CommandDescription(
        name: "report", summary: "rank the filters from a run file and write the report, or compare two runs",
        discussion: """
            Fits and ranks a run file's evaluations, even while its run is active, and writes ranking.csv, ranking.json
            and report.html. Examples:

              winnow-coordinator report --run resnet20.run --report report
              winnow-coordinator report --run a.run --compare b.run --report comparison
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("Folder to write the report to.", value: "DIR") var report: String
    @Option("What the model predicts: log-loss or loss.", value: "RESPONSE") var response: Response = .logLoss
    @Option("Another run of the same network to compare with.", value: "FILE") var compare: String?

    func run() throws {
        try OutputGuard.prepareFolder(report)
        Log.shared.step("fitting the ranking")
        defer { Log.shared.clearStatus() }
        let first = try Report(RunRecord(RunFile.read(at: runFile)), response: response)
        if let compare {
            let second = try Report(RunRecord(RunFile.read(at: compare)), response: response)
            let comparison = try Comparison(first, second, names: (runFile, compare))
            try comparison.write(to: report)
            print("\(report)/comparison.html: rank correlation \(Text.coefficient(comparison.agreement.spearman))")
            return
        }
        Log.shared.step("writing the report")
        try first.write(to: report)
        Log.shared.clearStatus()
        print(first.summary(lines: 10))
        print("\(report)/report.html")
    }
}
