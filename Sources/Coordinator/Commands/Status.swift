import Foundation
import Shared

/// `winnow-coordinator status`.
struct Status: Command {
    static let description = CommandDescription(
        name: "status",
        summary: "tell how a run stands",
        discussion: """
            Reads a run file, also while a coordinator works on it: what is evaluated, how far it is, who takes part, and \
            why nothing progresses when nothing does. 'winnow-coordinator story' tells what happened.

              winnow-coordinator status --run resnet20.winnow
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String

    func run() throws {
        let file = try RunFile.read(at: runFile)
        let description = file.description
        let masks = description.ensemble.count
        let done = try file.evaluationCount()
        let settings = description.settings
        print("run \(description.run), made \(Self.time(description.created)) by \(description.program)")
        print("network  \(description.network.architecture), \(description.network.path)")
        print("         SHA-256 \(description.network.digest)")
        print("images   \(settings.images) \(settings.split.rawValue) images, \(description.data.path)")
        print("         batch norms \(Self.words(settings.batchNorm))")
        print("filters  \(description.ensemble.participating.count) of \(description.network.filters) are ranked")
        print("design   \(description.ensemble.design.name), seed \(description.ensemble.seed)")
        print("done     \(done) of \(masks) masks (\(Progress.fixed(Double(done) / Double(masks) * 100, 1)) %)")
        try printLives(file, done: done)
        try printWorkers(file)
        for (mask, reason) in try file.masksSetAside().prefix(20) { print("set aside: mask \(mask): \(reason)") }
    }

    private func printLives(_ file: RunFile, done: Int) throws {
        for (index, life) in try file.lives().enumerated() {
            let end =
                life.ended.map { "\(life.ending ?? "ended") \(Self.time($0))" }
                ?? (file.hasCoordinator ? "at work" : "ended without a word (killed)")
            print("life \(index + 1)   started \(Self.time(life.started)), \(end)")
        }
        guard done < file.description.ensemble.count else { return }
        if !file.hasCoordinator {
            print("nobody works on it; go on with 'winnow-coordinator resume --run \(runFile)'")
        } else if let reason = try file.standstill() {
            print("nothing progresses: \(reason)")
        }
    }

    private func printWorkers(_ file: RunFile) throws {
        for worker in try file.workers() {
            let rate = worker.computeSeconds > 0 ? Double(worker.evaluations) / worker.computeSeconds : 0
            var line = "worker \(worker.number) on \(Log.printable(worker.host)): \(worker.threads) threads, "
            line += "\(Log.printable(worker.instructionSet)), \(worker.evaluations) evaluations"
            if rate > 0 { line += ", \(Progress.short(rate)) masks/s while computing" }
            if let reason = worker.dismissed { line += ", dismissed: \(Log.printable(reason))" }
            print(line)
        }
    }

    private static func time(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyy-MM-dd HH:mm:ss"
        return formatter.string(from: date)
    }

    private static func words(_ batchNorm: EvaluationSettings.BatchNorm) -> String {
        switch batchNorm {
        case .frozen: "frozen"
        case .recalibrated(let images): "recalibrated on \(images) training images under each mask"
        case .corrected(let images): "corrected by what each mask changes on \(images) training images"
        }
    }
}
