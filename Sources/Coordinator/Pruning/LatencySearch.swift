import Shared

/// The removal of least loss that speeds a network up by a given factor.
struct LatencySearch {
    /// Networks of random widths to fit the latency model to.
    private static let samples = 24
    /// How often to correct a choice by its measurement.
    private static let corrections = 4
    /// Exceeding the target by this much is as good as meeting it: measurements vary as much.
    private static let tolerance = 0.03
    /// Multiples to round widths to by default: runtimes compute channels in vectors.
    private static let multiples = [1, 4, 8, 16]

    /// A network that is fast enough.
    struct Found {
        let outcome: Pruner.Outcome
        let network: Network
        let multiple: Int
        /// Measured, for an image.
        let millisecondsBefore: Double
        let milliseconds: Double
    }

    let network: Network
    let scores: FilterScores
    let lossModel: LossModel
    let rules: WidthRules
    /// The requested multiple, or nil to try several.
    let multiple: Int?
    let meter: LatencyMeter
    /// Decides the widths of the samples.
    let seed: UInt64

    /// Searches for a network that is `speedup` times as fast. `log` gets progress messages. Throws a `.usage`
    /// ``Failure`` if the rules allow none.
    func search(speedup: Double, log: (String) -> Void) throws -> Found {
        let model = try fit(log)
        var best: Found?
        for multiple in self.multiple.map({ [$0] }) ?? Self.multiples {
            var rules = rules
            rules.multiple = multiple
            let pruner = Pruner(network.graph, scores: scores, model: lossModel, rules: rules, latency: model)
            guard let found = try closest(pruner, model, multiple: multiple, speedup: speedup, log) else { continue }
            if found.outcome.scoreLoss < best?.outcome.scoreLoss ?? .infinity { best = found }
        }
        guard let best else {
            throw Failure(
                .usage,
                "no network that --keep-at-least and the other rules allow is \(speedup) times as fast here; ask for less, "
                    + "or use --scope all")
        }
        return best
    }

    private func fit(_ log: (String) -> Void) throws -> LatencyModel {
        log("measuring \(Self.samples) networks of random widths")
        var generator = RandomGenerator(key: [seed, 0x6c61_7465_6e63_79])
        let pruner = Pruner(network.graph, scores: scores, model: lossModel, rules: rules)
        var networks = [network]
        for _ in 0..<Self.samples {
            networks.append(try network.removing(pruner.randomMask(using: &generator)))
        }
        let times = try meter.milliseconds(networks)
        return LatencyModel(zip(networks, times).map { ($0.graph, $1) })
    }

    /// The removal of least loss that is fast enough, corrected until the measurement agrees; nil if there is none.
    private func closest(
        _ pruner: Pruner, _ model: LatencyModel, multiple: Int, speedup: Double, _ log: (String) -> Void
    ) throws -> Found? {
        var aim = model.milliseconds(network.graph) / speedup
        var found: Found?
        for _ in 0..<Self.corrections {
            var budget = PruningBudget()
            budget.picosecondsMax = model.layersPicoseconds(milliseconds: aim)
            guard let outcome = try? pruner.prune(to: budget) else { break }
            let smaller = try network.removing(outcome.mask)
            let times = try meter.milliseconds([network, smaller])
            let measured = times[0] / times[1]
            log(
                "widths in multiples of \(multiple): \(Text.fixed(times[1], 3)) instead of "
                    + "\(Text.fixed(times[0], 3)) ms per image, \(Text.fixed(measured, 2)) times as fast")
            if measured >= speedup, outcome.scoreLoss < found?.outcome.scoreLoss ?? .infinity {
                found = Found(
                    outcome: outcome, network: smaller, multiple: multiple, millisecondsBefore: times[0],
                    milliseconds: times[1])
            }
            if measured >= speedup, measured <= speedup * (1 + Self.tolerance) { break }
            aim *= measured / speedup
        }
        return found
    }
}
