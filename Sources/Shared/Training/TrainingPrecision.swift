/// What the convolutions of a training multiply. Sums, parameters, batch normalisations and losses are float32 in both.
public enum TrainingPrecision: String, Sendable, Hashable, Codable, CaseIterable {
    /// Float32.
    case float32
    /// Activations, weights and gradients rounded to bfloat16 (the upper half of a float32) before they are multiplied:
    /// mixed precision as of Micikevicius et al. (2018), which needs no scaling of the loss in this format. For
    /// processors that multiply it faster, such as those with AMX.
    case bfloat16
}
