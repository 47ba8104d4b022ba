import Shared

/// Which filters of a layer to remove, once a method has said how many.
enum FilterSelectionRule: String, CaseIterable, ArgumentValue, Encodable {
    /// Those of the lowest scores.
    case scores
    /// Those whose loss a refit of the next layer can best make up for.
    case reconstruction
}
