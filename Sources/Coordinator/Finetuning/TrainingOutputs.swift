import Foundation
import Shared

/// The files that a training writes: the network of the last epoch, the best one by validation, the curves, and a page.
struct TrainingOutputs: Sendable {
    /// The network of the last epoch, a safetensors file.
    let network: String
    /// The network with the greatest validation accuracy.
    let bestNetwork: String
    /// The curves, for spreadsheets and for programs.
    let curveCSV: String
    let curveJSON: String
    /// The same for a person.
    let report: String

    /// Names the others beside `network`: `NAME-best.safetensors`, `NAME-curve.csv`, `NAME-curve.json`,
    /// `NAME-report.html`.
    init(network: String) {
        self.network = network
        let stem = network.hasSuffix(".safetensors") ? String(network.dropLast(".safetensors".count)) : network
        bestNetwork = "\(stem)-best.safetensors"
        curveCSV = "\(stem)-curve.csv"
        curveJSON = "\(stem)-curve.json"
        report = "\(stem)-report.html"
    }

    /// What the JSON file holds.
    private struct Curve: Encodable {
        var settings: TrainingSettings
        var history: TrainingHistory
        var bestEpochByValidation: Int?
    }

    /// Writes all files as of the last completed epoch; each is complete at any time.
    func write(_ progress: TrainingProgress) throws {
        try OutputFile.write(Checkpoint.safetensors(of: progress.network), to: network)
        if let best = progress.bestNetwork { try OutputFile.write(Checkpoint.safetensors(of: best), to: bestNetwork) }
        try OutputFile.write(Array(progress.history.csv.utf8), to: curveCSV)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let curve = Curve(
            settings: progress.settings, history: progress.history,
            bestEpochByValidation: progress.history.bestByValidation?.epoch)
        try OutputFile.write(Array(try encoder.encode(curve)) + [UInt8(ascii: "\n")], to: curveJSON)
        try OutputFile.write(Array(TrainingReport(progress: progress).html.utf8), to: report)
    }
}
