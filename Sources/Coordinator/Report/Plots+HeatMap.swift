import Foundation
import Shared

extension Plots {
    /// The most filters of a map; more would take the page seconds to draw.
    private static let cellsMax = 12_000
    /// The share of the filters whose importance has distinct colours; the few beyond look like the last of them.
    private static let toldApart = 0.97

    /// Layers as rows, their filters as cells from the least to the most important one, the darker the more important;
    /// nil if there are too many filters to draw.
    func heatMap() -> String? {
        guard ranking.rows.count <= Self.cellsMax else { return nil }
        let layers = fit.layers.map { layer in (layer.name, ranking.rows.filter { $0.layer == layer.name }) }
        guard let widest = layers.map(\.1.count).max(), widest > 0 else { return nil }
        let row = layers.count > 40 ? 11.0 : 16.0
        var chart = Chart(
            width: 1080, height: Double(layers.count) * row + 40,
            margins: Chart.Margins(top: 6, right: 8, bottom: 34, left: 132))
        let importances = ranking.rows.map(\.estimate.importance).sorted()
        let most = max(importances[Int(Double(importances.count - 1) * Self.toldApart)], 1e-12)
        let cell = min(26, (chart.right - chart.left) / Double(widest))
        for (index, (name, rows)) in layers.enumerated() {
            let y = chart.top + Double(index) * row
            chart.text(chart.left - 8, y + row - 4, name, "tick", anchor: "end")
            for (position, filter) in rows.enumerated() {
                let importance = filter.estimate.importance
                let interval = filter.estimate.interval
                chart.rectangle(
                    x: chart.left + Double(position) * cell, y: y + 1, width: cell - (cell > 4 ? 1 : 0.2),
                    height: row - 2,
                    importance < 0 ? "heat below" : "heat", opacity: importance < 0 ? 0.25 : min(1, importance / most),
                    tip: "\(name) filter \(filter.filter), rank \(filter.rank): \(rise(importance)) "
                        + "(\(rise(interval.lowerBound)) to \(rise(interval.upperBound)))")
            }
        }
        chart.text(chart.left, chart.height - 8, "the layer's least important", "title")
        let end = chart.left + cell * Double(widest)
        chart.text(max(end, chart.left + 420), chart.height - 8, "most important", "title", anchor: "end")
        return chart.svg(title: "Importance of every filter, one row per layer")
    }
}
