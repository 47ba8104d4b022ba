import Foundation
import Shared

/// What a pruning did, for a program to read: written as JSON beside the pruned network.
struct PruningRecord: Encodable {
    /// What a network costs.
    struct Size: Encodable {
        var parameters: Int
        /// Multiply-accumulates of convolutions and linear layers for one image.
        var multiplyAccumulates: Int
        /// The safetensors file's.
        var fileBytes: Int
        /// Images that Winnow's engine evaluates in a second, the median of three readings; nil where it was not
        /// measured.
        var imagesPerSecond: Double?

        /// The size of a network.
        init(_ network: Network, fileBytes: Int) {
            let cost = network.architecture.cost()
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

    /// A loss that was measured on the pruned network.
    struct Measurement: Encodable {
        /// `test` or `train`.
        var split: String
        var images: Int
        /// `frozen` or `written` for the statistics that the file has, else how they were taken under the mask.
        var batchNorm: String
        /// Mean cross-entropy in nats.
        var loss: Double
        var correct: Int
    }

    var program = Version.number
    var commandLine: [String]
    var method: String
    var lossModel: String
    /// How the filters of a layer were selected; by the method, how many of each layer.
    var selection: FilterSelectionRule
    /// The run's identity, where the method needed one.
    var run: String?
    var seed: UInt64?
    var before: Size
    var after: Size
    var removedFilters: Int
    var layers: [Layer]
    /// Mean cross-entropy in nats on the run's images, by the run's settings, without the filters of the lowest scores;
    /// nil where the scores predict none.
    var predictedLoss: Double?
    /// The same prediction for the unpruned network.
    var predictedLossBefore: Double?
    var measured: [Measurement] = []

    /// A few lines for a person.
    var summary: String {
        var table = [["", "before", "after", "change"]]
        func add(_ name: String, _ before: Double, _ after: Double, _ text: (Double) -> String) {
            table.append([name, text(before), text(after), Self.percent(after / before - 1, sign: true)])
        }
        func whole(_ value: Double) -> String { "\(Int(value.rounded()))" }
        func millions(_ value: Double) -> String { Self.decimal(value / 1e6, digits: 2) + " M" }
        add("parameters", Double(before.parameters), Double(after.parameters), whole)
        add(
            "FLOPs (multiply-accumulates)", Double(before.multiplyAccumulates), Double(after.multiplyAccumulates),
            millions)
        add("file, bytes", Double(before.fileBytes), Double(after.fileBytes), whole)
        if let old = before.imagesPerSecond, let new = after.imagesPerSecond {
            add("images per second (median)", old, new, whole)
        }
        var lines = table.map { row in zip(row, [-30, 12, 12, 10]).map { Self.padded($0, to: $1) }.joined() }
        lines.append(
            "removed \(removedFilters) filters of \(layers.count) layers by \(method), loss model \(lossModel)"
                + (selection == .reconstruction ? ", which of a layer by what others can make up for" : ""))
        if let predictedLoss, let predictedLossBefore {
            lines.append(
                "predicted loss \(Self.decimal(predictedLossBefore, digits: 4)) before, "
                    + "\(Self.decimal(predictedLoss, digits: 4)) after"
                    + (selection == .reconstruction ? " without as many of the lowest scores" : ""))
        }
        for measurement in measured {
            let accuracy = Double(measurement.correct) / Double(max(measurement.images, 1))
            lines.append(
                "measured loss \(Self.decimal(measurement.loss, digits: 4)), \(Self.percent(accuracy)) correct: "
                    + "\(measurement.images) \(measurement.split) images, \(measurement.batchNorm) batch norms")
        }
        return lines.joined(separator: "\n")
    }

    private static func decimal(_ value: Double, digits: Int) -> String { String(format: "%.\(digits)f", value) }

    private static func percent(_ share: Double, sign: Bool = false) -> String {
        String(format: sign ? "%+.1f %%" : "%.1f %%", 100 * share)
    }

    /// Text of a width, to the left where it is negative.
    private static func padded(_ text: String, to width: Int) -> String {
        let padding = String(repeating: " ", count: max(0, abs(width) - text.count))
        return width < 0 ? text + padding : padding + text
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
