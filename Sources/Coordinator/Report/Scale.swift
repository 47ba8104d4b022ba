import Foundation

/// Maps numbers of an axis to places in a drawing.
struct Scale {
    let domain: ClosedRange<Double>
    /// The place of the lower end, and of the upper.
    let start: Double
    let end: Double

    /// A scale that covers all values, with a margin and a minimum extent.
    init(holding values: some Sequence<Double>, margin: Double = 0.04, from start: Double, to end: Double) {
        var low = Double.infinity
        var high = -Double.infinity
        for value in values where value.isFinite {
            low = min(low, value)
            high = max(high, value)
        }
        if low > high { (low, high) = (0, 1) }
        if high - low < 1e-12 * max(1, abs(low)) { (low, high) = (low - 0.5, high + 0.5) }
        let extra = (high - low) * margin
        self.init(domain: low - extra...high + extra, from: start, to: end)
    }

    init(domain: ClosedRange<Double>, from start: Double, to end: Double) {
        self.domain = domain
        self.start = start
        self.end = end
    }

    /// The place of a value.
    func callAsFunction(_ value: Double) -> Double {
        let extent = domain.upperBound - domain.lowerBound
        return start + (value - domain.lowerBound) / (extent > 0 ? extent : 1) * (end - start)
    }

    /// Round numbers within the domain, about `count` of them.
    func ticks(_ count: Int = 6) -> [Double] {
        let step = self.step(count)
        let first = (domain.lowerBound / step).rounded(.up)
        let last = (domain.upperBound / step).rounded(.down)
        guard first <= last else { return [] }
        return stride(from: first, through: last, by: 1).map { $0 * step + 0 }
    }

    /// A tick as text, with as many digits as its neighbours need.
    func label(_ tick: Double, _ count: Int = 6) -> String {
        let digits = max(0, min(9, -Int(log10(step(count)).rounded(.down))))
        return Text.fixed(abs(tick) < step(count) / 1e6 ? 0 : tick, digits)
    }

    /// 1, 2 or 5 times a power of ten.
    private func step(_ count: Int) -> Double {
        let rough = max((domain.upperBound - domain.lowerBound) / Double(count), 1e-300)
        let power = pow(10, log10(rough).rounded(.down))
        let factor = [1.0, 2, 5, 10].first { rough <= $0 * power * 1.0000001 } ?? 10
        return factor * power
    }
}
