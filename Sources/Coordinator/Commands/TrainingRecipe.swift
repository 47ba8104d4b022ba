import Shared

/// Values for the options of a training that belong together, by a name.
enum TrainingRecipe: String, CaseIterable, ArgumentValue {
    /// To see in minutes that everything works, and roughly where it ends.
    case quick
    /// What RESULTS.md was made with: hours on a few cores.
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

    /// Gives the options of a command, or of a group of them, that were not given their values.
    func apply(to command: Any) { options.restore(into: command) }
}
