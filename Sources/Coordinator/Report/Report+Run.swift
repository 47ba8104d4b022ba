import Foundation
import Shared

/// The workers and the options.
extension Report {
    func addRun(to page: inout Page, _ plots: Plots) {
        if let schedule = plots.schedule() {
            page.figure(
                schedule,
                caption: "Each bar is a lease: a batch of masks that one worker had. Orange bars ended without a "
                    + "result; their masks went to another worker.", isWide: true)
        }
        var table = Table(columns: [
            Table.Column(title: "worker"), Table.Column(title: "host", isName: true), Table.Column(title: "threads"),
            Table.Column(title: "kernels", isName: true), Table.Column(title: "joined", isName: true),
            Table.Column(title: "masks kept"), Table.Column(title: "computing"), Table.Column(title: "masks/s"),
            Table.Column(title: "remark", isName: true),
        ])
        table.rows = record.workers.map { worker in
            let rate = worker.computeSeconds > 0 ? Double(worker.evaluations) / worker.computeSeconds : 0
            return [
                Table.Cell(text: "\(worker.number)"), Table.Cell(text: worker.host),
                Table.Cell(text: "\(worker.threads)"), Table.Cell(text: worker.instructionSet),
                Table.Cell(text: Self.moment(worker.joined)),
                Table.Cell(text: Text.grouped(worker.evaluations), value: Double(worker.evaluations)),
                Table.Cell(text: Text.duration(worker.computeSeconds), value: worker.computeSeconds),
                Table.Cell(text: Text.fixed(rate, 1), value: rate),
                Table.Cell(text: worker.dismissed.map { "dismissed: \($0)" } ?? ""),
            ]
        }
        page.table(table)
    }

    func addQuestion(to page: inout Page) {
        let description = record.description
        let ensemble = description.ensemble
        let cost = record.network.graph.cost()
        page.definitions([
            ("command", description.commandLine.joined(separator: " "), true),
            ("program", description.program, false),
            ("run", "\(description.run), \(Self.moment(description.created))", false),
            ("network", "\(description.network.architecture), \(description.network.path)", false),
            ("SHA-256", description.network.digest.description, true),
            (
                "size",
                "\(Text.amount(cost.parameters)) parameters, \(Text.amount(cost.multiplyAccumulates)) FLOPs "
                    + "(multiply-accumulates)", false
            ),
            (
                "images",
                "\(description.settings.imagesInWords) of \(description.data.path)", false
            ),
            ("SHA-256", description.data.images.description, true),
            ("forward pass", record.network.facts.assumptions.map { "assumed: \($0)" } ?? "as its file says", false),
            ("labels", labels, false),
            ("normalisation", description.settings.normalisation.description, false),
            ("batch norms", batchNorms, false),
            ("response", fitResponse, false),
            ("ensemble", sampling, false),
            ("layers", layers, false),
            ("seed", "\(ensemble.seed)", false),
            ("SHA-256", ensemble.digest.description, true),
        ])
        page.paragraph(
            description.settings.split == .train
                ? "The ranking used training images only; the test images stay unseen."
                : "The ranking used test images: after pruning by it, test accuracy is not accuracy on unseen images.",
            "note")
    }

    private var labels: String {
        switch record.description.settings.labels {
        case .given: "the images’"
        case .network:
            "none: the unmasked network’s outputs; a mask’s accuracy is the share of images on which both agree"
        }
    }

    private var fitResponse: String {
        let loss = record.description.settings.labels.lossName
        return ranking.fit.response == .logLoss ? "natural logarithm of the \(loss)" : loss
    }

    private var batchNorms: String {
        let settings = record.description.settings
        let own = settings.calibratesOnOwnImages
        func first(_ images: Int) -> String {
            own ? "\(Text.grouped(images)) of its images" : "the first \(Text.grouped(images)) training images"
        }
        return switch settings.batchNorm {
        case .frozen: "the checkpoint’s statistics"
        case .recalibrated(let images): "statistics under each mask of \(first(images))"
        case .corrected(let images):
            "the checkpoint’s statistics, corrected by each mask’s effect on \(first(images))"
        }
    }

    private var sampling: String {
        let ensemble = record.description.ensemble
        let design = ensemble.design
        var text = "\(Text.grouped(ensemble.count)) masks, design “\(design.name)”"
        if design.isBalanced { text += ", every filter disabled equally often" }
        if ensemble.groupSize > 1 { text += ", up to \(ensemble.groupSize) neighbours share their first layers" }
        return text
    }

    private var layers: String {
        let layers = record.description.ensemble.layers
        let rates = Set(layers.map(\.dropRate)).sorted().map { Text.percent($0, 1) }.joined(separator: ", ")
        return "\(layers.map(\.name).joined(separator: ", ")); on average \(rates) of each disabled"
    }

    static func day(_ date: Date) -> String { formatted(date, "yyyy-MM-dd") }

    static func moment(_ date: Date) -> String { formatted(date, "yyyy-MM-dd HH:mm:ss 'UTC'") }

    private static func formatted(_ date: Date, _ format: String) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "UTC")
        formatter.dateFormat = format
        return formatter.string(from: date)
    }
}
