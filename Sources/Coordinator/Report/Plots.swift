import Foundation
import Shared

/// The drawings of a report, each as inline SVG.
struct Plots {
    let ranking: Ranking
    let record: RunRecord

    var fit: AdditiveFit { ranking.fit }
    private var logarithmic: Bool { fit.response == .logLoss }

    /// A rise of the response in the units of the page's axes: for a logarithm, in per cent of the loss.
    private func shown(_ value: Double) -> Double { logarithmic ? 100 * (exp(value) - 1) : value }

    /// How a rise of the response reads.
    func rise(_ value: Double) -> String {
        logarithmic ? Text.fixed(shown(value), 1) + " %" : Text.fixed(value, 4) + " nats"
    }

    /// The label of the importance axis.
    private var importanceTitle: String {
        logarithmic ? "importance (rise of the loss, %)" : "importance (rise of the loss)"
    }

    /// The filters of every layer with their intervals, in rows of about equally many filters.
    func importances() -> [String] {
        let filtersOfRowMax = 360
        let layers = fit.layers.map { layer in (layer.name, ranking.rows.filter { $0.layer == layer.name }) }
        var rows: [[(String, [Ranking.Row])]] = [[]]
        for layer in layers {
            let used = rows[rows.count - 1].reduce(0) { $0 + $1.1.count }
            if used > 0, used + layer.1.count > filtersOfRowMax { rows.append([]) }
            rows[rows.count - 1].append(layer)
        }
        let ends = ranking.rows.flatMap { [$0.estimate.interval.lowerBound, $0.estimate.interval.upperBound] }
        return rows.map { row(of: $0, ends: ends.map(shown) + [0]) }
    }

    private func row(of layers: [(String, [Ranking.Row])], ends: [Double]) -> String {
        var chart = Chart(
            width: 1080, height: 300, margins: Chart.Margins(top: 14, right: 8, bottom: 66, left: 68))
        let y = Scale(holding: ends, from: chart.bottom, to: chart.top)
        let gap = 1.5
        let slots = layers.reduce(0.0) { $0 + Double($1.1.count) + gap }
        let slot = (chart.right - chart.left) / max(slots, 1)
        var start = chart.left
        for (index, layer) in layers.enumerated() {
            let width = (Double(layer.1.count) + gap) * slot
            if index % 2 == 0 {
                chart.rectangle(
                    x: start, y: chart.top, width: width, height: chart.bottom - chart.top, "stripe")
            }
            start += width
        }
        for tick in y.ticks() {
            chart.line(chart.left, y(tick), chart.right, y(tick), abs(tick) < 1e-12 ? "axis" : "grid")
            chart.text(chart.left - 8, y(tick) + 4, y.label(tick), "tick", anchor: "end")
        }
        chart.verticalTitle(importanceTitle)
        var place = chart.left + gap / 2 * slot
        for (name, rows) in layers {
            let width = Double(rows.count) * slot
            for (position, filter) in rows.enumerated() {
                let x = place + (Double(position) + 0.5) * slot
                let interval = filter.estimate.interval
                let tip =
                    "\(name) filter \(filter.filter): \(rise(filter.estimate.importance)) "
                    + "(\(rise(interval.lowerBound)) to \(rise(interval.upperBound))), rank \(filter.rank)"
                chart.line(x, y(shown(interval.lowerBound)), x, y(shown(interval.upperBound)), "interval")
                chart.circle(x, y(shown(filter.estimate.importance)), radius: min(2.2, slot * 0.7), "dot", tip: tip)
            }
            let label = name.hasSuffix(".conv1") ? String(name.dropLast(6)) : name
            chart.slanted(place + width / 2, chart.bottom + 12, label)
            place += width + gap * slot
        }
        return chart.svg(title: "Importance of every filter with its 95 % interval, by layer")
    }

    /// The rise of the loss as more of one layer is disabled.
    func sensitivity() -> String {
        var chart = Chart(height: 380, margins: Chart.Margins(top: 14, right: 108, bottom: 44, left: 68))
        let shareMax = min(1, 2 * (record.description.ensemble.layers.map(\.dropRate).max() ?? 0.5))
        let shares = (0...24).map { Double($0) / 24 * shareMax }
        let curves = fit.layers.map { layer in shares.map { shown(layer.rise(disabled: $0 * Double(layer.filters))) } }
        let x = Scale(domain: 0...shareMax, from: chart.left, to: chart.right)
        let y = Scale(holding: curves.flatMap { $0 } + [0], from: chart.bottom, to: chart.top)
        chart.axes(
            x: x, y: y, xTitle: "share of the layer's filters disabled",
            yTitle: logarithmic ? "rise of the loss (%)" : "rise of the loss", xLabel: { Text.percent($0) })
        var labels: [(y: Double, name: String, color: String)] = []
        for (index, layer) in fit.layers.enumerated() {
            let color = Self.depthColor(index, of: fit.layers.count)
            chart.path(zip(shares, curves[index]).map { (x($0), y($1)) }, "curve", color: color, tip: layer.name)
            labels.append((y(curves[index].last ?? 0), layer.name, color))
        }
        labels.sort { $0.y < $1.y }
        let room = chart.top...chart.bottom
        let gap = max(12, min(15, (room.upperBound - room.lowerBound) / Double(max(1, labels.count - 1))))
        for (label, place) in zip(labels, Self.spread(labels.map(\.y), gap: gap, within: room)) {
            guard let place else { continue }
            let name = label.name.hasSuffix(".conv1") ? String(label.name.dropLast(6)) : label.name
            chart.path([(chart.right, label.y), (chart.right + 12, place)], "guide", color: label.color)
            chart.text(chart.right + 15, place + 4, name, "tick")
        }
        return chart.svg(title: "How the loss rises as more filters of one layer are disabled")
    }

    /// Places for labels at least `gap` apart, close to their ideal ascending ones; nil for those dropped for lack of
    /// room, later ones first.
    static func spread(_ wanted: [Double], gap: Double, within room: ClosedRange<Double>) -> [Double?] {
        guard Double(wanted.count - 1) * gap <= room.upperBound - room.lowerBound else {
            var last = -Double.infinity
            return wanted.map { place in
                guard place - last >= gap else { return nil }
                last = place
                return place
            }
        }
        var places = wanted
        for index in places.indices.dropFirst() { places[index] = max(places[index], places[index - 1] + gap) }
        var limit = room.upperBound
        for index in places.indices.reversed() {
            places[index] = min(places[index], limit)
            limit = places[index] - gap
        }
        return places
    }

    /// A viridis-like colour, dark at the first layer and bright at the last, on any background.
    private static func depthColor(_ index: Int, of count: Int) -> String {
        let anchors: [(Double, Double, Double)] = [(96, 82, 186), (38, 120, 142), (31, 158, 110), (138, 160, 20)]
        let place = count > 1 ? Double(index) / Double(count - 1) * Double(anchors.count - 1) : 0
        let low = min(Int(place), anchors.count - 2)
        let share = place - Double(low)
        func mix(_ a: Double, _ b: Double) -> Int { Int((a + (b - a) * share).rounded()) }
        let (a, b) = (anchors[low], anchors[low + 1])
        return "rgb(\(mix(a.0, b.0)),\(mix(a.1, b.1)),\(mix(a.2, b.2)))"
    }

    /// Held-out masks: the loss predicted from the others against the measured one.
    func heldOut() -> String {
        var chart = Chart()
        let pairs = fit.heldOut.map { (fit.response.loss($0.predicted), fit.response.loss($0.measured), $0.mask) }
        let all = pairs.flatMap { [$0.0, $0.1] }.sorted()
        let x = Scale(holding: all, from: chart.left, to: chart.right)
        let y = Scale(domain: x.domain, from: chart.bottom, to: chart.top)
        chart.axes(x: x, y: y, xTitle: "predicted loss (nats)", yTitle: "measured loss (nats)")
        chart.line(
            x(x.domain.lowerBound), y(x.domain.lowerBound), x(x.domain.upperBound), y(x.domain.upperBound), "reference")
        for (predicted, measured, mask) in pairs {
            let tip = "mask \(mask): predicted \(Text.fixed(predicted, 3)), measured \(Text.fixed(measured, 3))"
            chart.circle(x(predicted), y(measured), radius: 2, "dot faint", tip: tip)
        }
        return chart.svg(title: "Predicted against measured loss of held-out masks")
    }

    /// How the ranking settled as masks came in.
    func settling() -> String {
        var chart = Chart(margins: Chart.Margins(top: 14, right: 112, bottom: 44, left: 68))
        let steps = fit.settling
        let values = steps.flatMap { [$0.splitHalf, $0.againstAll].compactMap { $0 } }
        let x = Scale(domain: 0...Double(max(steps.last?.masks ?? 1, 1)), from: chart.left, to: chart.right)
        let y = Scale(domain: min(0, values.min() ?? 0)...1, from: chart.bottom, to: chart.top)
        chart.axes(
            x: x, y: y, xTitle: "masks evaluated", yTitle: "rank correlation (Spearman)", xTicks: 5,
            xLabel: { Text.grouped(Int($0)) })
        let series: [(String, String, (AdditiveFit.Settling) -> Double?)] = [
            ("against all masks", "second", { $0.againstAll }), ("between halves", "first", { $0.splitHalf }),
        ]
        for (name, style, value) in series {
            let points = steps.compactMap { step in value(step).map { (x(Double(step.masks)), y($0)) } }
            chart.path(points, "curve \(style)")
            for point in points { chart.circle(point.0, point.1, radius: 2.6, "dot \(style)") }
            if let last = points.last { chart.text(last.0 + 8, last.1 + 4, name, "tick") }
        }
        return chart.svg(title: "Rank correlation of the ranking as masks arrived")
    }

    /// Importance against the L1 norm.
    func agreement() -> String {
        var chart = Chart()
        let means = Dictionary(grouping: ranking.rows, by: \.layer).mapValues { rows in
            rows.reduce(0) { $0 + $1.l1Norm } / Double(rows.count)
        }
        let points = ranking.rows.map { row in (row.l1Norm / max(means[row.layer] ?? 1, 1e-30), row) }
        let x = Scale(holding: points.map(\.0), from: chart.left, to: chart.right)
        let y = Scale(holding: ranking.rows.map { shown($0.estimate.importance) }, from: chart.bottom, to: chart.top)
        chart.axes(x: x, y: y, xTitle: "L1 norm, as a multiple of the layer's mean", yTitle: importanceTitle)
        for (norm, row) in points {
            chart.circle(
                x(norm), y(shown(row.estimate.importance)), radius: 2.2, "dot faint",
                tip: "\(row.layer) filter \(row.filter): \(rise(row.estimate.importance))")
        }
        return chart.svg(title: "Importance against the L1 norm of each filter")
    }

    /// Who evaluated what when: one lane per worker, one bar per lease.
    func schedule() -> String? {
        let workersMax = 64
        let leasesMax = 4000
        let leases = record.leases.indices.map { (record.leases[$0], endOfLease(at: $0)) }
        guard let first = record.leases.map(\.granted).min(), let last = leases.compactMap(\.1).max(), last > first
        else { return nil }
        let workers = Array(record.workers.prefix(workersMax))
        let lane = 22.0
        var chart = Chart(
            width: 1080, height: Double(workers.count) * lane + 62,
            margins: Chart.Margins(top: 8, right: 16, bottom: 50, left: 132))
        let span = last.timeIntervalSince(first)
        let x = Scale(domain: 0...span, from: chart.left, to: chart.right)
        for tick in x.ticks(8) {
            chart.line(x(tick), chart.top, x(tick), chart.bottom, "grid")
            chart.text(x(tick), chart.bottom + 18, x.label(tick, 8), "tick", anchor: "middle")
        }
        chart.text(
            (chart.left + chart.right) / 2, chart.height - 8, "seconds since the first lease", "title", anchor: "middle"
        )
        let stride = max(1, leases.count / leasesMax)
        for (index, worker) in workers.enumerated() {
            let y = chart.top + Double(index) * lane
            let host = worker.host.count > 14 ? String(worker.host.prefix(13)) + "…" : worker.host
            chart.text(chart.left - 8, y + 15, "\(worker.number) \(host)", "tick", anchor: "end")
            for (position, (lease, end)) in leases.enumerated() where lease.worker == worker.number {
                guard let end, lease.outcome == nil || position % stride == 0 else { continue }
                let start = x(lease.granted.timeIntervalSince(first))
                let outcome = lease.outcome ?? "lost with its worker or coordinator"
                let style = outcome == "answered" ? "lease" : "lease lost"
                chart.rectangle(
                    x: start, y: y + 4, width: max(x(end.timeIntervalSince(first)) - start - 0.4, 0.6),
                    height: lane - 8, style, tip: "masks \(lease.masks): \(outcome)")
            }
        }
        return chart.svg(title: "The leases of every worker over time")
    }

    /// When a lease ended. A lost one has no end of its own: its masks were leased again then. Nil if a lease is still
    /// out.
    private func endOfLease(at index: Int) -> Date? {
        let lease = record.leases[index]
        if let ended = lease.ended { return ended }
        guard let mask = lease.masks.ranges.first?.lowerBound else { return nil }
        return record.leases[(index + 1)...].first { later in later.masks.contains(mask) }?
            .granted
    }
}
