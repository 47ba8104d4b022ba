/// A dictionary of tensors in a checkpoint, which may have several: raw and averaged weights, for instance.
struct StoredWeights {
    /// The most to consider in one file.
    static let countMax = 1000

    /// The path of keys to it, joined by dots; empty for the whole file.
    let key: String
    /// Its tensors, or what is wrong with them.
    let state: Result<StateDict, Failure>
}
