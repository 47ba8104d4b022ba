import Foundation

/// Maps a ranking's prediction for a network to its loss, by linear interpolation between measured networks.
struct LossCalibration: Sendable {
    /// An expected loss, in nats.
    struct Forecast: Sendable, Equatable, Codable {
        var loss: Double
        /// The ends of the 95 % interval.
        var low: Double
        var high: Double
    }

    /// The predictions for the measured networks, ascending, and the logarithms of their losses, made non-decreasing.
    private let points: [(response: Double, logLoss: Double)]
    /// The standard deviation of the logarithm of a forecast's error.
    private let deviation: Double

    /// Losses are measured on so few images that none is known better than to this share.
    private static let deviationMin = 0.05
    /// Beyond the last measured network, forecasts extend by this share of the measured range.
    private static let reach = 0.05

    /// A calibration from networks with predicted responses and measured losses; nil if there are fewer than three, or
    /// all predictions are equal.
    init?(_ measured: [(response: Double, loss: Double)]) {
        let sorted = measured.filter { $0.loss > 0 && $0.response.isFinite }
            .map { (response: $0.response, logLoss: log($0.loss)) }.sorted { $0.response < $1.response }
        guard sorted.count >= 3, let first = sorted.first, let last = sorted.last, last.response > first.response
        else { return nil }
        points = Self.ascending(sorted)
        // How well each is forecast by its neighbours.
        let errors = sorted.indices.dropFirst().dropLast().map { index in
            let (before, after) = (sorted[index - 1], sorted[index + 1])
            return Self.value(at: sorted[index].response, before, after) - sorted[index].logLoss
        }
        let square = errors.reduce(0) { $0 + $1 * $1 } / Double(errors.count)
        deviation = max(square.squareRoot(), Self.deviationMin)
    }

    /// The loss of a network with this predicted response; nil beyond the measurements.
    func forecast(_ response: Double) -> Forecast? {
        guard let first = points.first, let last = points.last,
            response <= last.response + Self.reach * (last.response - first.response)
        else { return nil }
        let next = max(points.firstIndex { $0.response >= response } ?? points.count - 1, 1)
        let value =
            response <= first.response
            ? first.logLoss : Self.value(at: response, points[next - 1], points[next])
        let reach = AdditiveFit.intervalDeviations * deviation
        return Forecast(loss: exp(value), low: exp(value - reach), high: exp(value + reach))
    }

    private static func value(
        at response: Double, _ a: (response: Double, logLoss: Double), _ b: (response: Double, logLoss: Double)
    ) -> Double {
        guard b.response > a.response else { return (a.logLoss + b.logLoss) / 2 }
        return a.logLoss + (b.logLoss - a.logLoss) * (response - a.response) / (b.response - a.response)
    }

    /// The closest non-decreasing values, by pooling adjacent violators.
    private static func ascending(
        _ points: [(response: Double, logLoss: Double)]
    ) -> [(response: Double, logLoss: Double)] {
        var pools: [(sum: Double, count: Int)] = []
        for point in points {
            pools.append((point.logLoss, 1))
            while pools.count > 1, let last = pools.last {
                let before = pools[pools.count - 2]
                guard before.sum / Double(before.count) > last.sum / Double(last.count) else { break }
                pools.removeLast(2)
                pools.append((before.sum + last.sum, before.count + last.count))
            }
        }
        let values = pools.flatMap { pool in
            Array(repeating: pool.sum / Double(pool.count), count: pool.count)
        }
        return zip(points, values).map { (response: $0.response, logLoss: $1) }
    }
}
