import Foundation
import Shared

/// What pruning would cost, and what the weights alone would say.
extension Report {
    /// What `winnow-coordinator prune --remove-flops` would choose for one budget.
    struct Budget {
        /// The share of FLOPs that is to go.
        let asked: Double
        /// What goes.
        let flops: Double
        let parameters: Double
        let filters: Int
        /// The loss, in nats, that the pruner's model predicts before fine-tuning.
        let predictedLoss: Double
    }

    /// The choices for a tenth, two tenths, … of the FLOPs, as far as the ranked filters allow, with the defaults of
    /// `prune`.
    func budgets() -> [Budget] {
        let network = record.network
        let pruner = Pruner(
            network.graph, scores: FilterScores(ranking.fit, of: record.description.ensemble), model: .scarce,
            rules: WidthRules(leastShare: 0.1))
        let whole = network.graph.cost()
        var found: [Budget] = []
        for tenth in 1...9 {
            let asked = Double(tenth) / 10
            let most = Int(((1 - asked) * Double(whole.multiplyAccumulates)).rounded(.down))
            // A budget that cannot be kept ends the table: larger ones cannot either.
            guard let outcome = try? pruner.prune(to: PruningBudget(multiplyAccumulatesMax: most)),
                let loss = outcome.predictedLoss
            else { break }
            let cost = network.graph.cost(under: outcome.mask)
            found.append(
                Budget(
                    asked: asked, flops: 1 - Double(cost.multiplyAccumulates) / Double(whole.multiplyAccumulates),
                    parameters: 1 - Double(cost.parameters) / Double(whole.parameters),
                    filters: outcome.mask.disabledCount, predictedLoss: loss))
        }
        return found
    }

    func addBudgets(to page: inout Page, _ plots: Plots, _ steps: [PruningStep]) {
        page.heading("What pruning would cost")
        page.paragraph(
            "Losses that are predicted before fine-tuning. The table has what “winnow-coordinator prune --remove-flops” "
                + "would choose, weighing each filter’s importance against what it costs; the plot, by the fit’s own "
                + "model, what removing filters in the plain order of the ranking would do. Where it is dotted, more "
                + "is removed than masks disabled, and the model extrapolates.")
        // Who knows nothing gives every class the same probability. Beyond that loss the model's number says no more.
        let guess = log(Double(record.network.graph.classes))
        var table = Table(columns: [
            Table.Column(title: "FLOPs to remove"), Table.Column(title: "filters"), Table.Column(title: "parameters"),
            Table.Column(title: "predicted loss"),
        ])
        table.rows = budgets().map { budget in
            [
                Table.Cell(text: Text.percent(budget.asked)), Table.Cell(text: Text.grouped(budget.filters)),
                Table.Cell(text: Text.percent(budget.parameters)),
                Table.Cell(
                    text: budget.predictedLoss < guess
                        ? Text.fixed(budget.predictedLoss, 3) : "no better than a guess"),
            ]
        }
        let cost = record.network.graph.cost()
        page.pair(
            Page.figure(
                plots.budgets(steps),
                caption: "Predicted loss against the share removed of \(Text.amount(cost.multiplyAccumulates)) FLOPs "
                    + "(multiply-accumulates) and \(Text.amount(cost.parameters)) parameters."),
            table.html)
    }

    func addAgreement(to page: inout Page, _ plots: Plots) {
        page.heading("Agreement with weight norms")
        page.paragraph(
            "Ranking filters by their weights alone needs no evaluation. How the two orders agree, each norm divided "
                + "by its mean over the layer:")
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
                caption: "Each dot is a filter. The geometric median scores a filter by its distance to its layer’s "
                    + "others."), table.html)
    }
}
