/// The number format of a training's convolution inputs. Sums, parameters, batch norms and losses are float32 in both.
public enum TrainingPrecision: String, Sendable, Hashable, Codable, CaseIterable {
    /// Float32.
    case float32
    /// Activations, weights and gradients rounded to bfloat16 (the upper half of a float32) before multiplication:
    /// mixed precision as in Micikevicius et al. (2018), which needs no loss scaling in this format. For processors
    /// with fast bfloat16, such as those with AMX.
    case bfloat16
}
