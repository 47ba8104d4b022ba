import Shared

/// Which filters of a layer go, once a method has said how many.
enum FilterSelectionRule: String, CaseIterable, ArgumentValue, Encodable {
    /// Those of the lowest scores.
    case scores
    /// Those that the layer behind can best make up for when it is fitted anew.
    case reconstruction
}
