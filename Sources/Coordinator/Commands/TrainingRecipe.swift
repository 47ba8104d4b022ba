import Shared

/// Presets of a training's options.
enum TrainingRecipe: String, CaseIterable, ArgumentValue {
    /// To check in minutes that everything works, and roughly where it ends.
    case quick
    /// The settings of RESULTS.md: hours on a few cores.
    case full

    private var options: GivenOptions {
        switch self {
        case .quick:
            [
                "epochs": "6", "epochs-between": "2", "nesterov": nil, "distill-weight": "0.8",
            ]
        case .full:
            [
                "epochs": "66", "epochs-between": "10", "nesterov": nil, "distill-weight": "0.8", "shards": "4",
                "cutout": "8",
            ]
        }
    }

    /// Sets those options of a command, or of a group of them, that were not given.
    func apply(to command: Any) { options.restore(into: command) }
}
