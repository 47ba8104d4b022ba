import Foundation
import Shared

/// `winnow-coordinator status`.
struct Status: Command {
    static let description = CommandDescription(
        name: "status",
        summary: "tell how a run stands",
        discussion: """
            Reads a run file, also while a coordinator works on it: what is evaluated, how far it is, who takes part, and \
            with --story everything that happened to a mask.

              winnow-coordinator status --run resnet20.winnow --story 17
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("Also tell what happened to the mask of this index.", value: "MASK") var story: Int?

    func run() throws {
        let file = try RunFile.read(at: runFile)
        let description = file.description
        let masks = description.ensemble.count
        if let story, !(0..<masks).contains(story) {
            throw Failure(.usage, "--story must be the index of one of the run's masks, from 0 to \(masks - 1)")
        }
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
        if let story { try printStory(of: story, file) }
    }

    private func printLives(_ file: RunFile, done: Int) throws {
        for (index, life) in try file.lives().enumerated() {
            let end =
                life.ended.map { "\(life.ending ?? "ended") \(Self.time($0))" }
                ?? (file.hasCoordinator ? "at work" : "ended without a word (killed)")
            print("life \(index + 1)   started \(Self.time(life.started)), \(end)")
        }
        if !file.hasCoordinator, done < file.description.ensemble.count {
            print("nobody works on it; go on with 'winnow-coordinator resume --run \(runFile)'")
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

    private func printStory(of mask: Int, _ file: RunFile) throws {
        print("mask \(mask):")
        for record in try file.leases(ofMask: mask) {
            let end =
                record.ended.map { "\(record.outcome ?? "ended") \(Self.time($0))" }
                ?? "no answer so far, or its worker or coordinator was lost"
            print("  \(Self.time(record.granted))  lease \(record.lease) to worker \(record.worker); \(end)")
        }
        var found: RecordedEvaluation?
        try file.forEachEvaluation { if $0.mask == mask { found = $0 } }
        if let found {
            print(
                "  \(Self.time(found.recorded))  recorded from worker \(found.worker): loss "
                    + "\(Progress.fixed(found.evaluation.loss, 6)), \(found.evaluation.correct) correct")
        } else {
            print("  not recorded yet")
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
        }
    }
}
