import Foundation
import Shared

/// What pruning would cost, and what the weights alone would say.
extension Report {
    /// What `winnow-coordinator prune --remove-flops` would choose for one budget.
    struct Budget {
        /// The share of FLOPs to remove.
        let asked: Double
        /// What goes.
        let flops: Double
        let parameters: Double
        let filters: Int
        /// The forecast loss before fine-tuning, in nats; nil if it would be meaningless.
        let predictedLoss: Double?
        /// The ends of its interval, if networks were measured.
        let interval: ClosedRange<Double>?
    }

    /// Budgets are this share of the FLOPs apart.
    private static let budgetStep = 0.05

    /// The choices for a twentieth, two twentieths, … of the FLOPs, as far as the ranked filters allow, with `prune`'s
    /// defaults.
    func budgets() -> [Budget] {
        let network = record.network
        let pruner = pruner
        let whole = network.graph.cost()
        var found: [Budget] = []
        for number in 1..<Int((1 / Self.budgetStep).rounded()) {
            let asked = Double(number) * Self.budgetStep
            let most = Int(((1 - asked) * Double(whole.multiplyAccumulates)).rounded(.down))
            // A budget that cannot be met ends the table: larger ones cannot either.
            guard let outcome = try? pruner.prune(to: PruningBudget(multiplyAccumulatesMax: most)) else { break }
            let cost = network.graph.cost(under: outcome.mask)
            found.append(
                Budget(
                    asked: asked, flops: 1 - Double(cost.multiplyAccumulates) / Double(whole.multiplyAccumulates),
                    parameters: 1 - Double(cost.parameters) / Double(whole.parameters),
                    filters: outcome.mask.disabledCount, predictedLoss: outcome.predictedLoss,
                    interval: outcome.forecast.map { $0.low...max($0.low, $0.high) }))
        }
        return found
    }

    var pruner: Pruner {
        Pruner(
            record.network.graph,
            scores: FilterScores(ranking.fit, of: record.description.ensemble, measured: record.choices),
            model: .scarce, rules: WidthRules(leastShare: 0.1))
    }

    func addBudgets(to page: inout Page, _ plots: Plots, _ budgets: [Budget]) {
        page.heading("Accuracy of smaller networks")
        let unpruned = pruner.unpruned.predictedLoss
        page.paragraph(
            "Before any training. Each orange dot is a measured mask, which removes filters at random; the "
                + "blue line is what prune would choose by this ranking. "
                + (record.choices.map { choices in
                    "Its large dots were measured on \(Text.grouped(choices.images)) images when the run "
                        + "ended; the rest is interpolated. "
                }
                    ?? "It is the model's prediction. Beyond what masks removed it is dotted: there the model "
                    + "extrapolates and is mostly too optimistic; prune --data measures. ")
                + "Refitting and fine-tuning recover most of the accuracy.")
        let cost = record.network.graph.cost()
        page.pair(
            Page.figure(
                plots.accuracy(budgets),
                caption: "Accuracy against the share removed of \(Text.amount(cost.multiplyAccumulates)) FLOPs "
                    + "(multiply-accumulates)."),
            Page.figure(
                plots.loss(budgets, unpruned: unpruned),
                caption: "Loss against the same. The dashed line is the unpruned network's loss, by the model."))
        // A network that knows nothing gives every class the same probability. Beyond that loss the model's number
        // means nothing more.
        let guess = log(Double(record.network.graph.classes))
        var table = Table(columns: [
            Table.Column(title: "FLOPs to remove"), Table.Column(title: "filters"), Table.Column(title: "parameters"),
            Table.Column(title: "predicted loss"),
        ])
        // Every second one: tenths.
        table.rows = budgets.enumerated().filter { $0.offset % 2 == 1 }.map(\.element).map { budget in
            [
                Table.Cell(text: Text.percent(budget.asked), value: budget.asked),
                Table.Cell(text: Text.grouped(budget.filters), value: Double(budget.filters)),
                Table.Cell(text: Text.percent(budget.parameters), value: budget.parameters),
                Table.Cell(text: lossText(budget, guess: guess), value: budget.predictedLoss ?? .infinity),
            ]
        }
        page.folded("As a table") { page in
            page.paragraph(
                "What “winnow-coordinator prune --remove-flops” would choose, weighing each filter’s "
                    + "importance against its cost.")
            page.table(table)
        }
    }

    private func lossText(_ budget: Budget, guess: Double) -> String {
        guard let loss = budget.predictedLoss else { return "not known: the run measured nothing as small" }
        guard loss < guess else { return "no better than a guess" }
        let interval = budget.interval.map {
            " (\(Text.fixed($0.lowerBound, 3)) … \(Text.fixed($0.upperBound, 3)))"
        }
        return Text.fixed(loss, 3) + (interval ?? "")
    }

    func addAgreement(to page: inout Page, _ plots: Plots) {
        page.paragraph(
            "Ranking filters by their weights alone needs no evaluation. Agreement of the two orders, each "
                + "norm divided by its mean over the layer:")
        let filters = ranking.rows.map(\.estimate.filter)
        let importances = ranking.rows.map(\.estimate.importance)
        var table = Table(columns: [
            Table.Column(title: "score", isName: true), Table.Column(title: "Spearman’s ρ"),
            Table.Column(title: "Kendall’s τ"),
        ])
        let norms: [(name: String, norm: WeightNorm)] = [
            ("L1 norm", .l1), ("L2 norm", .l2), ("geometric median", .geometricMedian),
        ]
        table.rows = norms.map { name, norm in
            let all = norm.scores(record.network)
            let scores = filters.map { all[$0] }
            return [
                Table.Cell(text: name),
                Table.Cell(text: Text.coefficient(RankCorrelation.spearman(importances, scores))),
                Table.Cell(text: Text.coefficient(RankCorrelation.kendall(importances, scores))),
            ]
        }
        page.pair(
            Page.figure(
                plots.agreement(),
                caption: "Each dot is a filter. The geometric median scores a filter by its distance to the others of "
                    + "its layer."), table.html)
    }
}
