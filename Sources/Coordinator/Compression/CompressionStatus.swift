import Foundation
import Shared

/// The state of a compression, read from its folder.
struct CompressionStatus: Encodable {
    enum State: String, Encodable {
        case complete, running, interrupted
    }

    /// One round, as far as it got.
    struct Round: Encodable {
        var number: Int
        var masks: Int
        var masksRecorded: Int
        var isPruned: Bool
        var epochs: Int
        var epochsDone: Int
        /// Test accuracies: of the pruned network, and after fine-tuning.
        var accuracyPruned: Double?
        var accuracyFinetuned: Double?
        var flopsRemoved: Double?
    }

    var folder: String
    var state: State
    /// Of the unpruned network.
    var accuracy: Double?
    var rounds: [Round]
    /// Nil if an accuracy decides when it ends.
    var roundsPlanned: Int?

    /// Whether a folder holds a compression.
    static func isThere(_ folder: String) -> Bool { InputFile.isReadable("\(folder)/plan.json") }

    /// Reads the status. Throws a ``Failure``.
    init(of folder: String) throws {
        let files = CompressionFolder.Paths(folder)
        let plan: CompressionPlan = try CompressionFolder.read(files.plan)
        let start: CompressionPoint? = InputFile.isReadable(files.start) ? try CompressionFolder.read(files.start) : nil
        self.folder = folder
        accuracy = start?.testAccuracy
        roundsPlanned = plan.accuracy == nil ? plan.rounds : nil
        rounds = []
        for number in 1...plan.rounds {
            let paths = files.round(number)
            guard FileManager.default.fileExists(atPath: paths.folder) else { break }
            let name = [paths.longResult, paths.result].first(where: InputFile.isReadable) ?? paths.pruning
            let known: CompressionRound? = InputFile.isReadable(name) ? try CompressionFolder.read(name) : nil
            let run = InputFile.isReadable(paths.run) ? try? RunFile.read(at: paths.run) : nil
            let training = InputFile.isReadable(paths.training) ? try? TrainingFile.open(at: paths.training) : nil
            rounds.append(
                Round(
                    number: number, masks: run?.description.ensemble.count ?? plan.ensemble.count,
                    masksRecorded: try run?.evaluationCount() ?? 0, isPruned: known != nil,
                    epochs: plan.training(round: number).epochs,
                    epochsDone: training?.progress.position.epoch ?? 0,
                    accuracyPruned: known?.pruned.testAccuracy, accuracyFinetuned: known?.result?.testAccuracy,
                    flopsRemoved: known.flatMap { known in
                        start.map {
                            1 - Double(known.pruned.multiplyAccumulates) / Double($0.multiplyAccumulates)
                        }
                    }))
        }
        state =
            InputFile.isReadable(files.compressed)
            ? .complete : CompressionFolder.isOwned(folder) ? .running : .interrupted
    }

    /// The lines for a person.
    var text: String {
        var lines = ["compression in \(folder): \(state.rawValue)"]
        if let accuracy { lines.append("unpruned  test accuracy \(Text.percent(accuracy, 2))") }
        for round in rounds {
            var parts = ["ranked \(round.masksRecorded) of \(round.masks) masks"]
            if round.isPruned {
                parts.append(
                    "pruned" + (round.flopsRemoved.map { " (\(Text.percent($0, 1)) of the FLOPs removed)" } ?? ""))
                if let accuracy = round.accuracyPruned { parts[1] += " to \(Text.percent(accuracy, 2))" }
                parts.append("fine-tuned \(round.epochsDone) of \(round.epochs) epochs")
                if let accuracy = round.accuracyFinetuned { parts[2] += " to \(Text.percent(accuracy, 2))" }
            }
            lines.append(
                "round \(round.number)\(roundsPlanned.map { " of \($0)" } ?? "")  " + parts.joined(separator: ", "))
        }
        switch state {
        case .complete: lines.append("report: \(folder)/report.html")
        case .running: lines.append("a process is working on it")
        case .interrupted: lines.append("no process works on it; resume it with its original command")
        }
        return lines.joined(separator: "\n")
    }
}
