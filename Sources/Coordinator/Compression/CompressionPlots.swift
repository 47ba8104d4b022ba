import Shared

/// The drawings of a compression's report.
struct CompressionPlots {
    let curve: CompressionCurve

    /// The measured cost of a network.
    enum Cost {
        case flops
        case parameters
    }

    /// A method as a person reads it; nil is the unpruned network.
    static func name(of method: String?) -> String {
        guard let method else { return "unpruned" }
        switch PruningMethod(rawValue: method) {
        case .ensemble: return "ranking"
        case .l1: return "L1 norm"
        case .taylor: return "Taylor"
        default: return method
        }
    }

    /// Test accuracy against the removed share of a cost.
    func accuracy(against cost: Cost) -> String {
        var chart = Chart(margins: Chart.Margins(top: 14, right: 132, bottom: 44, left: 70))
        let removed = { (point: CompressionPoint) in
            cost == .flops ? curve.removedFlops(point) : curve.removedParameters(point)
        }
        let points = curve.points
        let x = Scale(
            domain: 0...max(0.1, min(1, (points.map(removed).max() ?? 0) * 1.05)), from: chart.left, to: chart.right)
        let y = Scale(holding: points.map(\.testAccuracy), from: chart.bottom, to: chart.top)
        chart.axes(
            x: x, y: y, xTitle: cost == .flops ? "FLOPs removed" : "parameters removed", yTitle: "test accuracy",
            xLabel: { Text.percent($0) }, yLabel: { Text.percent($0, 1) })
        chart.line(chart.left, y(curve.start.testAccuracy), chart.right, y(curve.start.testAccuracy), "reference")
        var labels = SeriesLabels()
        for series in series {
            let style = series.style
            let places = series.points.map { (x(removed($0)), y($0.testAccuracy)) }
            if series.isJoined { chart.path(places, "curve \(style)") }
            for (place, point) in zip(places, series.points) {
                chart.circle(
                    place.0, place.1, radius: 3.4, "dot \(style)",
                    tip: "\(series.name), round \(point.round): \(Text.percent(point.testAccuracy, 2)) at "
                        + "\(Text.percent(removed(point), 1)) removed")
            }
            if let last = places.last { labels.add(series.name, at: last.1) }
        }
        labels.draw(in: &chart)
        return chart.svg(title: "Test accuracy against the share removed, by method and fine-tuning")
    }

    private struct Series {
        var name: String
        var style: String
        var isJoined = false
        var points: [CompressionPoint]
    }

    private var series: [Series] {
        // Filled points were trained, hollow ones were not: the two are not comparable.
        var series = [
            Series(
                name: "ranking, fine-tuned", style: "first", isJoined: true,
                points: [curve.start] + curve.rounds.compactMap(\.result)),
            Series(name: "ranking, refitted", style: "first hollow", points: curve.rounds.compactMap(\.reconstructed)),
            Series(name: "ranking, removed", style: "first hollow", points: curve.rounds.map(\.pruned)),
        ]
        let styles = ["second", "third", "fourth"]
        let methods = curve.rounds.first?.baselines.compactMap(\.method) ?? []
        for (method, style) in zip(methods, styles) {
            series.append(
                Series(
                    name: "\(Self.name(of: method)), removed", style: "\(style) hollow",
                    points: curve.rounds.flatMap { $0.baselines.filter { $0.method == method } }))
        }
        return series
    }
}

/// Names of series at the right of a chart, moved apart if they would overlap.
struct SeriesLabels {
    private static let distance = 14.0
    private var labels: [(name: String, y: Double)] = []

    /// Adds the name of a series that ends at a height.
    mutating func add(_ name: String, at y: Double) { labels.append((name, y)) }

    /// Draws them.
    func draw(in chart: inout Chart) {
        var sorted = labels.sorted { $0.y < $1.y }
        for index in sorted.indices.dropFirst() {
            sorted[index].y = max(sorted[index].y, sorted[index - 1].y + Self.distance)
        }
        // Names pushed below the axis move up again, the lowest first.
        var limit = chart.bottom
        for index in sorted.indices.reversed() {
            sorted[index].y = min(sorted[index].y, limit)
            limit = sorted[index].y - Self.distance
        }
        for label in sorted { chart.text(chart.right + 8, label.y + 4, label.name, "tick") }
    }
}
