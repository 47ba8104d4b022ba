import Foundation
import Shared

/// Two runs of the same network side by side.
struct Comparison: Sendable {
    /// A filter that both runs ranked.
    struct Pair: Sendable {
        let first: Ranking.Row
        let second: Ranking.Row

        /// The difference of the importances in units of its standard error.
        var deviation: Double {
            let a = first.estimate
            let b = second.estimate
            let error = (a.standardError * a.standardError + b.standardError * b.standardError).squareRoot()
            return error > 0 ? (b.importance - a.importance) / error : 0
        }
    }

    private let reports: (first: Report, second: Report)
    private let names: (first: String, second: String)
    /// The filters, in the first run's order.
    let pairs: [Pair]
    /// How the importances agree.
    let agreement: Ranking.Agreement

    /// Throws a `.badInput` ``Failure`` if the runs ranked no filter in common.
    init(_ first: Report, _ second: Report, names: (String, String)) throws {
        guard first.record.network.graph == second.record.network.graph else {
            throw Failure(.badInput, "\(names.0) and \(names.1) are runs of different networks and cannot be compared")
        }
        let others = Dictionary(
            second.ranking.rows.map { ($0.estimate.filter, $0) }, uniquingKeysWith: { first, _ in first })
        pairs = first.ranking.rows.compactMap { row in
            others[row.estimate.filter].map { Pair(first: row, second: $0) }
        }
        guard !pairs.isEmpty else {
            throw Failure(.badInput, "\(names.0) and \(names.1) ranked no filter in common")
        }
        let importances = (
            pairs.map(\.first.estimate.importance), pairs.map(\.second.estimate.importance)
        )
        agreement = Ranking.Agreement(
            spearman: RankCorrelation.spearman(importances.0, importances.1),
            kendall: RankCorrelation.kendall(importances.0, importances.1))
        reports = (first, second)
        self.names = (names.0, names.1)
    }

    /// Writes `comparison.html`, `comparison.csv` and `comparison.json`. Throws an `.unavailable` ``Failure`` on
    /// failure.
    func write(to directory: String) throws {
        try OutputGuard.prepareFolder(directory)
        try OutputFile.write(Array(html.utf8), to: "\(directory)/comparison.html")
        try OutputFile.write(Array(csv.utf8), to: "\(directory)/comparison.csv")
        try OutputFile.write(Array(json()), to: "\(directory)/comparison.json")
    }

    /// One line per filter, in the order of the first run.
    var csv: String {
        let header = "layer,filter,rank_a,rank_b,importance_a,importance_b,standard_error_a,standard_error_b,deviation"
        let rows = pairs.map { pair in
            let (a, b) = (pair.first, pair.second)
            let numbers = [
                a.estimate.importance, b.estimate.importance, a.estimate.standardError, b.estimate.standardError,
                pair.deviation,
            ]
            return (["\(Ranking.quoted(a.layer))", "\(a.filter)", "\(a.rank)", "\(b.rank)"] + numbers.map { "\($0)" })
                .joined(separator: ",")
        }
        return ([header] + rows).joined(separator: "\n") + "\n"
    }

    /// How the rankings agree, for programs.
    private func json() throws -> Data {
        struct Document: Encodable {
            let a, b: String
            let filters: Int
            let agreement: Ranking.Agreement
            let differing: Int
        }
        let document = Document(
            a: names.first, b: names.second, filters: pairs.count, agreement: agreement, differing: differing)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(document) + Data("\n".utf8)
    }

    /// Filters whose importances differ beyond their intervals.
    private var differing: Int { pairs.count { abs($0.deviation) > AdditiveFit.intervalDeviations } }

    /// The page.
    var html: String {
        var page = Page(title: "Two rankings of \(reports.first.record.description.network.architecture)")
        page.add("<h1>\(Text.escaped(page.title))</h1>")
        page.paragraph("A is \(names.first), B is \(names.second).", "soft")
        page.tiles([
            (Text.coefficient(agreement.spearman), "Spearman’s ρ"),
            (Text.coefficient(agreement.kendall), "Kendall’s τ"),
            (Text.grouped(pairs.count), "filters in both"),
            (Text.grouped(differing), "differ beyond their 95 % intervals"),
        ])
        page.paragraph(
            "If both runs measure the same thing, about one in twenty filters differs this much by chance.")
        page.pair(
            Page.figure(
                scatter, caption: "Importance in B against importance in A. On the dashed line they are equal."),
            sides.html)
        page.heading("Filter by filter")
        page.table(table)
        return page.html
    }

    private var scatter: String {
        var chart = Chart()
        let x = Scale(holding: pairs.map(\.first.estimate.importance), from: chart.left, to: chart.right)
        let y = Scale(holding: pairs.map(\.second.estimate.importance), from: chart.bottom, to: chart.top)
        chart.axes(x: x, y: y, xTitle: "importance in A", yTitle: "importance in B")
        let low = max(x.domain.lowerBound, y.domain.lowerBound)
        let high = min(x.domain.upperBound, y.domain.upperBound)
        if low < high { chart.line(x(low), y(low), x(high), y(high), "reference") }
        for pair in pairs {
            chart.circle(
                x(pair.first.estimate.importance), y(pair.second.estimate.importance), radius: 2.2, "dot faint",
                tip: "\(pair.first.layer) filter \(pair.first.filter)")
        }
        return chart.svg(title: "Importance of each filter in both runs")
    }

    /// What distinguishes the runs.
    private var sides: Table {
        var table = Table(columns: [
            Table.Column(title: "", isName: true), Table.Column(title: "A"), Table.Column(title: "B"),
        ])
        table.sorts = false
        func row(_ name: String, _ value: (Report) -> String) -> [Table.Cell] {
            [
                Table.Cell(text: name), Table.Cell(text: value(reports.first)),
                Table.Cell(text: value(reports.second)),
            ]
        }
        table.rows = [
            row("run") { String($0.record.description.run.prefix(12)) },
            row("made") { Report.day($0.record.description.created) },
            row("network") { Text.short($0.record.description.network.digest.description) },
            row("images") { $0.record.description.settings.imagesInWords },
            row("batch norms") { $0.record.description.settings.batchNorm.source.rawValue },
            row("design") { $0.record.description.ensemble.design.name },
            row("drop rates") { report in
                Set(report.record.description.ensemble.layers.map(\.dropRate)).sorted().map { Text.percent($0) }
                    .joined(separator: ", ")
            },
            row("seed") { "\($0.record.description.ensemble.seed)" },
            row("masks") { Text.grouped($0.ranking.fit.masks) },
            row("held-out R²") { Text.coefficient($0.ranking.fit.heldOutRSquared) },
            row("split-half ρ") { Text.coefficient($0.ranking.fit.splitHalf) },
            row("ρ with L1") { Text.coefficient($0.ranking.agreementWithL1.spearman) },
        ]
        return table
    }

    private var table: Table {
        var table = Table(columns: [
            Table.Column(title: "layer", isName: true), Table.Column(title: "filter"), Table.Column(title: "rank in A"),
            Table.Column(title: "rank in B"), Table.Column(title: "ranks moved"),
            Table.Column(title: "importance in A"),
            Table.Column(title: "importance in B"), Table.Column(title: "difference / error"),
        ])
        table.name = "pairs"
        table.rows = pairs.map { pair in
            let moved = pair.second.rank - pair.first.rank
            let importances = (pair.first.estimate.importance, pair.second.estimate.importance)
            return [
                Table.Cell(text: pair.first.layer), Table.Cell(text: "\(pair.first.filter)"),
                Table.Cell(text: "\(pair.first.rank)"), Table.Cell(text: "\(pair.second.rank)"),
                Table.Cell(text: (moved > 0 ? "+" : "") + Text.grouped(moved), value: Double(moved)),
                Table.Cell(text: reports.first.rise(importances.0), value: importances.0),
                Table.Cell(text: reports.second.rise(importances.1), value: importances.1),
                Table.Cell(text: Text.fixed(pair.deviation, 1), value: pair.deviation),
            ]
        }
        return table
    }
}
