import Foundation
import Shared

/// The smaller networks measured by the masks, and the prediction for the ranking's own choice.
extension Plots {
    /// The most masks to draw.
    private static let masksMax = 600

    /// A mask as a smaller network: what it lacks, and its result.
    private struct Measured {
        /// Nil for a network that the ranking chooses.
        var index: Int?
        var flops: Double
        var loss: Double
        var accuracy: Double
    }

    /// A quantity against the share of FLOPs removed.
    private func measured() -> [Measured] {
        let graph = record.network.graph
        let whole = Double(max(graph.cost().multiplyAccumulates, 1))
        let known = record.evaluations.indices.filter { record.evaluations[$0] != nil }
        let step = max(1, known.count / Self.masksMax)
        return stride(from: 0, to: known.count, by: step).compactMap { place in
            let index = known[place]
            guard let evaluation = record.evaluations[index], evaluation.images > 0 else { return nil }
            let cost = graph.cost(under: record.description.ensemble.mask(index))
            return Measured(
                index: index, flops: 1 - Double(cost.multiplyAccumulates) / whole, loss: evaluation.loss,
                accuracy: Double(evaluation.correct) / Double(evaluation.images))
        }
    }

    /// Accuracy against the share of FLOPs removed: measured under the masks, and expected for `prune`'s choices.
    func accuracy(_ budgets: [Report.Budget]) -> String {
        let points = measured()
        let curve = LossToAccuracy(points.map { ($0.loss, $0.accuracy) })
        let chosen = budgets.compactMap { budget in
            budget.predictedLoss.flatMap { curve.accuracy(at: $0) }.map { (budget.flops, $0) }
        }
        let choices = measuredChoices().map { ($0.flops, $0.accuracy, tip($0)) }
        return draw(
            points.map { ($0.flops, $0.accuracy, tip($0)) }, choices.isEmpty ? chosen : choices.map { ($0.0, $0.1) },
            choices,
            reference: record.unprunedAccuracy.map { ($0, "unpruned") },
            yTitle: "accuracy on the run's images, no training", yLabel: { Text.percent($0) },
            title: "Accuracy against the share of FLOPs removed")
    }

    /// Loss against the share of FLOPs removed: measured under the masks, and predicted for `prune`'s choices.
    func loss(_ budgets: [Report.Budget], unpruned: Double?) -> String {
        draw(
            measured().map { ($0.flops, $0.loss, tip($0)) },
            budgets.compactMap { budget in budget.predictedLoss.map { (budget.flops, $0) } },
            measuredChoices().map { ($0.flops, $0.loss, tip($0)) },
            reference: unpruned.map { ($0, "unpruned") }, yTitle: "loss (nats), no training", yLabel: nil,
            title: "Loss against the share of FLOPs removed")
    }

    /// The measured smaller networks, drawn like the masks.
    private func measuredChoices() -> [Measured] {
        guard let choices = record.choices else { return [] }
        let graph = record.network.graph
        let whole = Double(max(graph.cost().multiplyAccumulates, 1))
        let filters = record.description.ensemble.filterCount
        return choices.choices.map { choice in
            let cost = graph.cost(under: Mask(count: filters, disabled: choice.removed))
            return Measured(
                index: nil, flops: 1 - Double(cost.multiplyAccumulates) / whole, loss: choice.loss,
                accuracy: choice.accuracy)
        }
    }

    private func tip(_ mask: Measured) -> String {
        (mask.index.map { "mask \($0): \(Text.percent(mask.flops, 1)) of the FLOPs removed at random" }
            ?? "chosen by the ranking, \(Text.percent(mask.flops, 1)) of the FLOPs removed") + ", loss "
            + "\(Text.fixed(mask.loss, 3)), \(Text.percent(mask.accuracy, 1)) right"
    }

    private func draw(
        _ masks: [(Double, Double, String)], _ chosen: [(Double, Double)], _ choices: [(Double, Double, String)],
        reference: (Double, String)?, yTitle: String,
        yLabel: ((Double) -> String)?, title: String
    ) -> String {
        var chart = Chart(margins: Chart.Margins(top: 18, right: 150, bottom: 44, left: 74))
        let most = (masks.map(\.0) + chosen.map(\.0)).max() ?? 1
        let x = Scale(domain: 0...max(0.1, most * 1.04), from: chart.left, to: chart.right)
        // Far beyond the measurements, the model's curve leaves the drawing.
        let limit = (masks.map(\.1).max() ?? 1) * 1.6
        let shown = chosen.filter { $0.1 <= limit }
        let y = Scale(
            holding: masks.map(\.1) + shown.map(\.1) + [reference?.0].compactMap { $0 }, from: chart.bottom,
            to: chart.top)
        chart.axes(
            x: x, y: y, xTitle: "FLOPs removed", yTitle: yTitle, xTicks: 5, xLabel: { Text.percent($0) }, yLabel: yLabel
        )
        var labels = SeriesLabels()
        if let (value, name) = reference {
            chart.line(chart.left, y(value), chart.right, y(value), "reference")
            labels.add(name, at: y(value))
        }
        for (flops, value, tip) in masks {
            chart.circle(x(flops), y(value), radius: 2, "dot second faint", tip: tip)
        }
        let heights = masks.map(\.1).sorted()
        if !heights.isEmpty { labels.add("measured masks", at: y(heights[heights.count / 2])) }
        // Beyond what masks removed the model extrapolates.
        let measuredMax = (masks.map(\.0) + choices.map(\.0)).max() ?? 0
        let within = shown.prefix { $0.0 <= measuredMax }
        chart.path(within.map { (x($0.0), y($0.1)) }, "curve")
        chart.path((within.suffix(1) + shown.dropFirst(within.count)).map { (x($0.0), y($0.1)) }, "curve beyond")
        if choices.isEmpty {
            for point in shown {
                chart.circle(
                    x(point.0), y(point.1), radius: 2.8, "dot",
                    tip: "chosen by the ranking: \(Text.percent(point.0, 1)) of the FLOPs removed")
            }
        }
        for (flops, value, tip) in choices where value <= limit {
            chart.circle(x(flops), y(value), radius: 3.6, "dot", tip: tip)
        }
        if let last = shown.last {
            let words = choices.isEmpty ? last.0 > measuredMax ? "extrapolated" : "predicted" : "measured"
            labels.add("chosen, \(words)", at: y(last.1))
        }
        labels.draw(in: &chart)
        return chart.svg(title: title)
    }
}

/// The accuracy of masks with about the same loss, from measured pairs: means of neighbours in the order of the loss,
/// with linear interpolation. Nothing for a loss above all measured ones; below them, the accuracy of the lowest, which
/// promises no more.
struct LossToAccuracy {
    private static let knots = 16
    private var points: [(loss: Double, accuracy: Double)] = []

    init(_ measured: [(loss: Double, accuracy: Double)]) {
        let sorted = measured.filter(\.loss.isFinite).sorted { $0.loss < $1.loss }
        guard sorted.count >= 2 else { return }
        let size = max(1, sorted.count / Self.knots)
        for start in stride(from: 0, to: sorted.count, by: size) {
            let group = sorted[start..<min(start + size, sorted.count)]
            let count = Double(group.count)
            points.append(
                (group.reduce(0) { $0 + $1.loss } / count, group.reduce(0) { $0 + $1.accuracy } / count))
        }
    }

    func accuracy(at loss: Double) -> Double? {
        guard let first = points.first else { return nil }
        if loss <= first.loss { return first.accuracy }
        guard let index = points.indices.dropFirst().first(where: { points[$0].loss >= loss }) else { return nil }
        let (low, high) = (points[index - 1], points[index])
        guard high.loss > low.loss else { return low.accuracy }
        return low.accuracy + (high.accuracy - low.accuracy) * (loss - low.loss) / (high.loss - low.loss)
    }
}
