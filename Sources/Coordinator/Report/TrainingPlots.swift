import Shared

/// The course of one training, or of several in sequence, as inline SVG.
struct TrainingPlots {
    let histories: [TrainingHistory]

    private struct Series {
        var name: String
        var style: String
        var value: (TrainingHistory.Epoch) -> Double?
    }

    /// Accuracies after every epoch.
    func accuracy() -> String {
        draw(
            [
                Series(name: "test", style: "first", value: \.testAccuracy),
                Series(name: "validation", style: "third", value: \.validationAccuracy),
                Series(name: "training", style: "second", value: \.trainingAccuracy),
            ],
            start: histories.map(\.testAccuracyBefore), yTitle: "accuracy", yLabel: { Text.percent($0, 1) },
            title: "Accuracy after every epoch")
    }

    /// Losses after every epoch.
    func loss() -> String {
        draw(
            [
                Series(name: "test", style: "first", value: \.testLoss),
                Series(name: "validation", style: "third", value: \.validationLoss),
                Series(name: "training", style: "second", value: \.trainingLoss),
            ],
            start: histories.map { _ in nil }, yTitle: "loss (nats)", yLabel: nil, title: "Loss after every epoch")
    }

    /// Draws series over the epochs of all trainings; the first one begins at `start` if there is such a value.
    private func draw(
        _ series: [Series], start: [Double?], yTitle: String, yLabel: ((Double) -> String)?, title: String
    ) -> String {
        var chart = Chart(margins: Chart.Margins(top: 14, right: 84, bottom: 44, left: 70))
        let epochs = histories.flatMap(\.epochs)
        let values = series.flatMap { series in epochs.compactMap(series.value) } + start.compactMap { $0 }
        let x = Scale(domain: 0...Double(max(1, epochs.count)), from: chart.left, to: chart.right)
        let y = Scale(holding: values, from: chart.bottom, to: chart.top)
        chart.axes(x: x, y: y, xTitle: "epochs", yTitle: yTitle, yLabel: yLabel)
        var labels = SeriesLabels()
        for (number, series) in series.enumerated() {
            var first = 0
            var end: Double?
            for (history, start) in zip(histories, start) {
                var points: [(Double, Double)] = []
                if number == 0, let start { points.append((x(Double(first)), y(start))) }
                for (index, epoch) in history.epochs.enumerated() {
                    guard let value = series.value(epoch) else { continue }
                    points.append((x(Double(first + index + 1)), y(value)))
                }
                chart.path(points, "curve \(series.style)")
                for point in points { chart.circle(point.0, point.1, radius: 2, "dot \(series.style)") }
                end = points.last?.1 ?? end
                first += history.epochs.count
            }
            if let end { labels.add(series.name, at: end) }
        }
        labels.draw(in: &chart)
        return chart.svg(title: title)
    }
}
