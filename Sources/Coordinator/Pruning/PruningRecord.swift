import Foundation
import Shared

/// The record of a pruning for programs: written as JSON beside the pruned network.
struct PruningRecord: Encodable {
    /// What a network costs.
    struct Size: Encodable {
        var parameters: Int
        /// Multiply-accumulates of convolutions and linear layers for one image.
        var multiplyAccumulates: Int
        /// The safetensors file's.
        var fileBytes: Int
        /// Images per second of Winnow's engine, the median of three readings; nil if not measured.
        var imagesPerSecond: Double?

        /// The size of a network.
        init(_ network: Network, fileBytes: Int) {
            let cost = network.graph.cost()
            parameters = cost.parameters
            multiplyAccumulates = cost.multiplyAccumulates
            self.fileBytes = fileBytes
        }
    }

    /// A layer that lost filters.
    struct Layer: Encodable {
        var name: String
        var filters: Int
        /// The removed filters, as the unpruned network counts them.
        var removed: [Int]
    }

    /// A loss that was measured.
    struct Measurement: Encodable {
        /// A stage between the unpruned network and the result.
        enum Stage: String, Encodable {
            /// The network as it was.
            case unpruned
            /// Without the filters, batch norms taken as the masks' were.
            case removed
            /// The result: without the filters, otherwise unchanged, or adapted.
            case unadapted, recalibrated, reconstructed

            var words: String {
                switch self {
                case .unpruned: "before"
                case .removed: "filters removed"
                case .unadapted: "the result, not adapted"
                case .recalibrated: "the result, batch norms recalibrated"
                case .reconstructed: "the result, layers refitted"
                }
            }
        }

        /// Which network; nil if it is not such a stage.
        var network: Stage?
        /// `test` or `train`.
        var split: String
        var images: Int
        /// `frozen` for the statistics of the network's file, else how they were computed under the mask.
        var batchNorm: String
        /// Mean cross-entropy in nats.
        var loss: Double
        var correct: Int

        /// The share of correct images.
        var accuracy: Double { Double(correct) / Double(max(images, 1)) }
    }

    /// The training images that decided how much to remove.
    struct HeldOut: Encodable {
        var images: Int
        /// The accuracies on them, 0 to 1: the unpruned network's, the required one, and the result's.
        var accuracyBefore: Double
        var accuracyMin: Double
        var accuracy: Double
    }

    /// Measured milliseconds per image, if they were the budget.
    struct Latency: Encodable {
        /// Winnow's engine, or the command.
        var program: String
        var targetSpeedup: Double
        var millisecondsBefore: Double
        var milliseconds: Double
        /// What widths were rounded to.
        var multiple: Int
    }

    /// The effect of further masks around the ranking's choice.
    struct Refinement: Encodable {
        /// The origin of the network that was taken.
        enum Origin: String, Encodable {
            case ranking, refinement, taylor, l1Norm

            var words: String {
                switch self {
                case .ranking: "the ranking's own choice was the best"
                case .refinement: "the refined choice won"
                case .taylor: "the choice by Taylor scores was better and won"
                case .l1Norm: "the choice by L1 norms was better and won"
                }
            }
        }

        /// The masks that refined it.
        var masks: Int
        /// The images that the candidates were compared on.
        var split: String
        var images: Int
        /// Mean cross-entropy in nats on them, with batch norms as under the run's masks: of the ranking's choice, and
        /// of the one taken.
        var lossBefore: Double
        var loss: Double
        var origin: Origin
    }

    var program = Version.number
    var commandLine: [String]
    var method: String
    var lossModel: String
    /// How the filters of a layer were selected; the method decided how many.
    var selection: FilterSelectionRule
    /// The run's identity, if the method needed one.
    var run: String?
    var seed: UInt64?
    var before: Size
    var after: Size
    var removedFilters: Int
    var layers: [Layer]
    /// What the run's masks were compared with; nil without a run.
    var labels: EvaluationSettings.Labels?
    /// The mean loss in nats on the run's images, with the run's settings, without the filters with the lowest scores;
    /// nil if the scores predict none.
    var predictedLoss: Double?
    /// The same prediction for the unpruned network.
    var predictedLossBefore: Double?
    /// The interval of ``predictedLoss``, if the run measured networks like this one.
    var forecast: LossCalibration.Forecast?
    var measured: [Measurement] = []
    /// The ranking's certainty, in a sentence; nil if unknown.
    var verdict: String?
    /// Nil if the budget said how much to remove.
    var heldOut: HeldOut?
    /// Nil if latency was not the budget.
    var latency: Latency?
    /// Nil if the choice is the ranking's.
    var refinement: Refinement?

    /// A few lines for a person; `byLayer` adds what every layer loses.
    func summary(byLayer: Bool = false) -> String {
        var lines = [
            "\(removedFilters) filters of \(layers.count) layers removed, chosen by \(method)"
                + (selection == .reconstruction ? ", within a layer by what the others can make up for" : "")
        ]
        lines += Self.aligned(costs)
        if byLayer { lines += [""] + Self.aligned(layerTable) }
        if let first = measured.first {
            lines += ["", "measured on \(first.images) \(first.split) images:"] + Self.aligned(lossTable)
        }
        if let latency {
            lines.append(
                "latency by \(latency.program): \(Text.fixed(latency.millisecondsBefore, 3)) ms per image "
                    + "before, \(Text.fixed(latency.milliseconds, 3)) after, "
                    + "\(Text.fixed(latency.millisecondsBefore / latency.milliseconds, 2)) times as fast; widths are "
                    + "multiples of \(latency.multiple)")
        }
        if let heldOut {
            lines.append(
                "accuracy on \(heldOut.images) held-out training images: "
                    + "\(Text.percent(heldOut.accuracyBefore, 1)) before, \(Text.percent(heldOut.accuracy, 1)) "
                    + "after; target: at least \(Text.percent(heldOut.accuracyMin, 1))"
            )
        }
        if let refinement {
            lines.append(
                "refined with \(Text.grouped(refinement.masks)) masks: loss \(Text.fixed(refinement.lossBefore, 4)) → "
                    + "\(Text.fixed(refinement.loss, 4)) on \(Text.grouped(refinement.images)) "
                    + "\(refinement.split == "train" ? "training" : refinement.split) images, filters removed; "
                    + refinement.origin.words)
        }
        lines += [predictionText, verdict.map { "the ranking: \($0)" }].compactMap { $0 }
        return lines.joined(separator: "\n")
    }

    /// The prediction and how far to trust it; nil if the scores predict no loss.
    private var predictionText: String? {
        // A measured loss needs no forecast.
        guard let predictedLossBefore, refinement == nil else { return nil }
        let kind = labels == .network ? "divergence" : "loss"
        let before = "predicted \(kind): \(Text.fixed(predictedLossBefore, 4)) before, "
        let ofScores = selection == .reconstruction ? " (of the lowest scores)" : ""
        guard let predictedLoss else {
            return before + "not known after removal: the run measured no network as small; --data measures it"
        }
        let after = before + "\(Text.fixed(predictedLoss, 4)) after removal\(ofScores)"
        guard let forecast else {
            return after + ", by sums of importances alone: the run measured no smaller network, so it may be far off"
        }
        return after + ", with 95 % probability \(Text.fixed(forecast.low, 4)) to "
            + Text.fixed(forecast.high, 4)
    }

    private var costs: [[String]] {
        var table = [["", "before", "after", "change"]]
        func add(_ name: String, _ before: Double, _ after: Double, _ text: (Double) -> String) {
            table.append([name, text(before), text(after), Self.change(from: before, to: after)])
        }
        func whole(_ value: Double) -> String { "\(Int(value.rounded()))" }
        func millions(_ value: Double) -> String { Text.fixed(value / 1e6, 2) + " M" }
        add(
            "FLOPs (multiply-accumulates)", Double(before.multiplyAccumulates), Double(after.multiplyAccumulates),
            millions)
        add("parameters", Double(before.parameters), Double(after.parameters), whole)
        add("file, bytes", Double(before.fileBytes), Double(after.fileBytes), whole)
        if let old = before.imagesPerSecond, let new = after.imagesPerSecond {
            add("images per second (median)", old, new, whole)
        }
        return table
    }

    private static func change(from before: Double, to after: Double) -> String {
        let change = after / before - 1
        return (change > 0 ? "+" : "") + Text.percent(change, 1)
    }

    private var layerTable: [[String]] {
        [["layer", "filters", "removed", "left"]]
            + layers.map { layer in
                [
                    layer.name, "\(layer.filters)", "\(layer.removed.count)", "\(layer.filters - layer.removed.count)",
                ]
            }
    }

    private var lossTable: [[String]] {
        [["", "accuracy", "loss", "batch norms"]]
            + measured.map { measurement in
                [
                    measurement.network?.words ?? "", Text.percent(measurement.accuracy, 1),
                    Text.fixed(measurement.loss, 4),
                    measurement.batchNorm == EvaluationSettings.BatchNorm.Source.frozen.rawValue
                        ? "as in the file" : measurement.batchNorm,
                ]
            }
    }

    /// The lines of a table, names at the left, numbers at the right.
    private static func aligned(_ table: [[String]]) -> [String] {
        let columns = table.first?.count ?? 0
        let widths = (0..<columns).map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? "  " + cell.0 + padding : "  " + padding + cell.0
            }.joined()
        }
    }

    /// The JSON text.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}

extension PruningRecord.Layer {
    /// The layers of a network that a mask takes filters from.
    static func all(in space: FilterSpace, removing mask: Mask) -> [PruningRecord.Layer] {
        space.layers.compactMap { layer in
            let removed = layer.filters.filter { mask[$0] }.map { $0 - layer.filters.lowerBound }
            guard !removed.isEmpty else { return nil }
            return PruningRecord.Layer(name: layer.name, filters: layer.filters.count, removed: removed)
        }
    }
}
