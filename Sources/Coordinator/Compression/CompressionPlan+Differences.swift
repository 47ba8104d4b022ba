import Foundation
import Shared

extension CompressionPlan {
    /// The options of those plan members that an option sets directly.
    private static let options = [
        "network": "--model", "trainingImages": "--data (training images)", "testImages": "--data (test images)",
        "removeFlops": "--remove-flops", "removeParameters": "--remove-parameters", "rounds": "--rounds",
        "ensemble.count": "--masks", "ensemble.seed": "--seed", "ensemble.design.name": "--design",
        "evaluation.images": "the number of images per mask", "evaluation.rotation.pool": "--images",
        "lossModel": "--loss-model", "keepAtLeast": "--keep-at-least", "roundTo": "--round-to",
        "accuracy.removePerRound": "--remove-per-round", "accuracy": "--max-accuracy-drop or --min-accuracy",
        "caps": "--keep-layer or --remove-at-most", "lastTraining.epochs": "--epochs",
        "earlierTraining.epochs": "--epochs-between",
        "lastTraining.batchSize": "--batch-size", "lastTraining.shards": "--shards",
        "lastTraining.schedule.peak": "--learning-rate", "lastTraining.cutout": "--cutout",
        "lastTraining.precision": "--precision", "lastTraining.validationImages": "--validation-images",
    ]

    /// The differences from a plan begun earlier, as `--masks is 2000, was 1000`; named by option if there is one.
    func differences(from begun: CompressionPlan) -> [String] {
        let (new, old) = (Self.leaves(of: self), Self.leaves(of: begun))
        let changed = Set(new.keys).union(old.keys).filter { new[$0] != old[$0] }
        let named = changed.filter { Self.option(behind: $0) != nil }
        // Consequences of a named difference (a layer's windows of the masks) add nothing.
        return (named.isEmpty ? changed : named).sorted().map { path in
            let name = Self.option(behind: path) ?? path
            return "\(name) is \(new[path] ?? "not given"), was \(old[path] ?? "not given")"
        }
    }

    /// The option that sets a value, or the list that it is in.
    private static func option(behind path: String) -> String? {
        options[path] ?? path.firstIndex(of: ".").flatMap { options[String(path[..<$0])] }
    }

    /// The plan's values by their paths.
    private static func leaves(of plan: CompressionPlan) -> [String: String] {
        guard let data = try? JSONEncoder().encode(plan), let tree = try? JSONSerialization.jsonObject(with: data)
        else {
            return [:]
        }
        var found: [String: String] = [:]
        func visit(_ value: Any, _ path: String) {
            if let object = value as? [String: Any] {
                for (key, value) in object { visit(value, path.isEmpty ? key : "\(path).\(key)") }
            } else if let list = value as? [Any] {
                for (index, value) in list.enumerated() { visit(value, "\(path).\(index)") }
            } else {
                found[path] = "\(value)"
            }
        }
        visit(tree, "")
        return found
    }
}
