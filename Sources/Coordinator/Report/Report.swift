import Foundation
import Shared

/// A run's report: one HTML file, with the ranking as CSV and JSON beside it.
public struct Report: Sendable {
    /// The run.
    public let record: RunRecord
    /// Its ranking.
    public let ranking: Ranking

    private var fit: AdditiveFit { ranking.fit }
    private var description: RunDescription { record.description }

    /// Fits and ranks a run's evaluations. Throws a `.badInput` ``Failure`` if there are too few.
    public init(_ record: RunRecord, response: Response = .logLoss) throws {
        self.record = record
        let fit = try AdditiveFit(
            record.description.ensemble, evaluations: record.evaluations, response: response,
            rotation: record.description.settings.rotation, features: record.features)
        ranking = Ranking(fit, of: record.network)
    }

    /// Writes `ranking.csv`, `ranking.json` and `report.html` to a folder, which is created if missing. Throws an
    /// `.unavailable` ``Failure`` on failure; an existing file is replaced completely or not at all.
    public func write(to directory: String) throws {
        try OutputGuard.prepareFolder(directory)
        try OutputFile.write(Array(ranking.csv.utf8), to: "\(directory)/ranking.csv")
        try OutputFile.write(Array(RankingDocument(ranking, of: record).encoded()), to: "\(directory)/ranking.json")
        try OutputFile.write(Array(html.utf8), to: "\(directory)/report.html")
    }

    /// The page.
    public var html: String {
        let plots = Plots(ranking: ranking, record: record)
        let budgets = budgets()
        var page = Page(title: "Filter ranking of \(description.network.architecture)")
        addSummary(to: &page)
        addBudgets(to: &page, plots, budgets)
        addExtremes(to: &page)
        addCertainty(to: &page, plots)
        page.folded("Filter by filter") { page in
            addImportances(to: &page, plots)
            addRanking(to: &page)
        }
        page.folded("Agreement with weight norms") { addAgreement(to: &$0, plots) }
        if !record.workers.isEmpty { page.folded("Worker timeline") { addRun(to: &$0, plots) } }
        page.folded("The run's options") { addQuestion(to: &$0) }
        addNextStep(to: &page)
        return page.html
    }

    private func addSummary(to page: inout Page) {
        let count = record.evaluations.count
        page.add("<h1>\(Text.escaped(page.title))</h1>")
        page.paragraph(
            "\(Text.grouped(ranking.rows.count)) filters, ranked by the effect of disabling them on the loss "
                + "on \(images), "
                + Self.day(description.created),
            "soft")
        addVerdict(to: &page)
        page.tiles([
            (Text.grouped(fit.masks), fit.masks == count ? "masks evaluated" : "of \(Text.grouped(count)) masks"),
            (Text.coefficient(fit.heldOutRSquared), "R² on held-out masks"),
            (Text.coefficient(fit.splitHalf), "rank correlation of halves"),
            (Text.coefficient(fit.reliability), "reliability of this ranking"),
            (Text.coefficient(ranking.agreementWithL1.spearman), "correlation with the L1 norm"),
        ])
        if fit.masks < count {
            page.paragraph(
                "The run has not finished: \(Text.grouped(count - fit.masks)) masks of the ensemble are not in "
                    + "this report\(record.setAside.isEmpty ? "" : ", \(record.setAside.count) of them set aside").",
                "warning")
        }
        if !ranking.unmeasured.isEmpty {
            let names = ranking.unmeasured.prefix(20).map { "\($0.layer) \($0.filter)" }.joined(separator: ", ")
            page.paragraph(
                "Not ranked, since the evaluated masks disabled them always or never: \(names)"
                    + (ranking.unmeasured.count > 20 ? " and \(ranking.unmeasured.count - 20) more." : "."),
                "warning")
        }
    }

    /// The images in words.
    private var images: String {
        let settings = description.settings
        let kind = settings.split == .train ? "training images" : "test images"
        guard let rotation = settings.rotation else { return "the first \(Text.grouped(settings.images)) \(kind)" }
        return "\(Text.grouped(rotation.pool)) \(kind), \(Text.grouped(settings.images)) for each mask"
    }

    private func addExtremes(to page: inout Page) {
        page.heading("The least and most important filters")
        page.paragraph(
            "Importance is the expected rise of the "
                + (fit.response == .logLoss ? "loss, in per cent," : "loss, in nats,")
                + " when the filter is disabled among others, with its 95 % interval. A wide interval means that "
                + "the masks say little about this filter, not that it can go.")
        let shown = 10
        page.pair(
            "<h3>Least important</h3>" + extremes(Array(ranking.rows.prefix(shown))).html,
            "<h3>Most important</h3>" + extremes(Array(ranking.rows.suffix(shown).reversed())).html)
        if let map = Plots(ranking: ranking, record: record).heatMap() {
            page.figure(
                map,
                caption:
                    "Every filter, one row per layer; the darker, the more its removal costs. Orange: removing "
                    + "it along with others should help.", isWide: true)
        }
    }

    private func extremes(_ rows: [Ranking.Row]) -> Table {
        var table = Table(columns: [
            Table.Column(title: "rank"), Table.Column(title: "layer", isName: true), Table.Column(title: "filter"),
            Table.Column(title: "importance"), Table.Column(title: "95 % interval"),
        ])
        table.rows = rows.map { row in
            let interval = row.estimate.interval
            return [
                Table.Cell(text: "\(row.rank)"), Table.Cell(text: row.layer), Table.Cell(text: "\(row.filter)"),
                Table.Cell(text: rise(row.estimate.importance)),
                Table.Cell(text: "\(rise(interval.lowerBound)) … \(rise(interval.upperBound))"),
            ]
        }
        return table
    }

    /// A rise of the response as the report's tables show it.
    func rise(_ value: Double) -> String {
        fit.response == .logLoss ? Text.percent(exp(value) - 1, 1) : Text.fixed(value, 4)
    }

    private func addImportances(to page: inout Page, _ plots: Plots) {
        page.paragraph(
            "Each dot is a filter, each line its 95 % interval; within a layer, filters are in order of "
                + "importance. If a line crosses zero, the masks cannot tell whether removing the filter costs "
                + "anything."
        )
        for drawing in plots.importances() { page.add("<figure><div class=\"wide\">\(drawing)</div></figure>") }
        page.pair(
            Page.figure(
                plots.sensitivity(),
                caption: "The modelled rise of the loss as more of one layer is disabled; dark lines are early layers, "
                    + "bright ones late."),
            layerTable.html)
    }

    private var layerTable: Table {
        var table = Table(columns: [
            Table.Column(title: "layer", isName: true), Table.Column(title: "filters"),
            Table.Column(title: "mean importance"), Table.Column(title: "spread"), Table.Column(title: "ρ with L1"),
        ])
        let agreements = Dictionary(
            ranking.agreementWithL1ByLayer.map { ($0.layer, $0.agreement) }, uniquingKeysWith: { first, _ in first })
        table.rows = fit.layers.map { layer in
            let agreement = agreements[layer.name]?.spearman
            return [
                Table.Cell(text: layer.name), Table.Cell(text: "\(layer.filters)"),
                Table.Cell(text: rise(layer.meanImportance), value: layer.meanImportance),
                Table.Cell(text: rise(layer.spread), value: layer.spread),
                Table.Cell(text: Text.coefficient(agreement), value: agreement ?? -2),
            ]
        }
        return table
    }

    private func addCertainty(to page: inout Page, _ plots: Plots) {
        page.heading("Reliability")
        guard let splitHalf = fit.splitHalf, let reliability = fit.reliability else {
            page.paragraph(
                "There are too few masks, or their losses are too similar, to tell how reliable the ranking is.")
            return
        }
        page.paragraph(
            "The ranking’s reliability is \(Text.coefficient(reliability)): the known share of the variance of "
                + "the filters’ importances, and the expected correlation with a ranking from as many other masks"
                + (imagesCaveat == nil ? " and images" : "")
                + ". Rankings from two halves of the masks agree with a rank correlation of "
                + "\(Text.coefficient(splitHalf)) (mean of \(fit.halvings) random halvings). The model explains "
                + "\(Text.percent(fit.rSquared ?? 0)) of the variance of the \(responseName) and "
                + "\(Text.percent(fit.heldOutRSquared ?? 0)) on masks that it has not seen.")
        if let imagesCaveat { page.paragraph(imagesCaveat, "warning") }
        if let priorText { page.paragraph(priorText) }
        page.pair(
            Page.figure(
                plots.heldOut(),
                caption: "Held-out masks: the loss predicted by a model of the other masks, and the measured loss."),
            Page.figure(
                plots.settling(),
                caption: "How the ranking settled as masks arrived: agreement between two halves of the masks so far, "
                    + "and with the final ranking."))
    }

    /// What cheap criteria contribute; nil if there are none.
    var priorText: String? {
        let known = fit.priors.filter { $0.share >= 0.005 }.sorted { $0.share > $1.share }
        guard !fit.priors.isEmpty else { return nil }
        guard !known.isEmpty else {
            return
                "Cheap criteria (\(fit.priors.map(\.criterion.words).joined(separator: ", "))) explain none of "
                + "the differences between the filters of a layer, and count for nothing."
        }
        let shares = known.map { "\($0.criterion.words) \(Text.percent($0.share))" }
        return "Cheap criteria explain these shares of the differences between the filters of a layer: "
            + shares.joined(separator: ", ") + ". Where masks say little, the ranking follows them."
    }

    private var responseName: String { fit.response == .logLoss ? "logarithm of the loss" : "loss" }

    private func addRanking(to page: inout Page) {
        page.add("<h3>The whole ranking</h3>")
        page.paragraph("Rank 1 is the least important filter. ranking.csv and ranking.json hold the full table.")
        var table = Table(columns: [
            Table.Column(title: "rank"), Table.Column(title: "layer", isName: true), Table.Column(title: "filter"),
            Table.Column(title: "importance"), Table.Column(title: "from"), Table.Column(title: "to"),
            Table.Column(title: "L1 norm"), Table.Column(title: "FLOPs saved"), Table.Column(title: "parameters saved"),
        ])
        table.name = "ranking"
        table.rows = ranking.rows.map { row in
            let estimate = row.estimate
            return [
                Table.Cell(text: "\(row.rank)"), Table.Cell(text: row.layer), Table.Cell(text: "\(row.filter)"),
                Table.Cell(text: rise(estimate.importance), value: estimate.importance),
                Table.Cell(text: rise(estimate.interval.lowerBound), value: estimate.interval.lowerBound),
                Table.Cell(text: rise(estimate.interval.upperBound), value: estimate.interval.upperBound),
                Table.Cell(text: Text.fixed(row.l1Norm, 2), value: row.l1Norm),
                Table.Cell(text: Text.amount(row.multiplyAccumulates), value: Double(row.multiplyAccumulates)),
                Table.Cell(text: Text.amount(row.parameters), value: Double(row.parameters)),
            ]
        }
        page.table(table)
    }
}
