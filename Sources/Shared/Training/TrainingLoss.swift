/// What training minimises for one image.
///
/// Without distillation, the cross-entropy with the label smoothed: `1 - s + s / classes` for the label and
/// `s / classes` for every other class (Szegedy et al. 2016). With distillation of weight w and temperature T, `1 - w`
/// times that plus `w T²` times the Kullback-Leibler divergence of the network's outputs from the teacher's, both
/// divided by T before the softmax (Hinton et al. 2015).
public struct TrainingLoss: Sendable, Hashable, Codable {
    /// Knowledge distillation from another network.
    public struct Distillation: Sendable, Hashable, Codable {
        /// The temperature, above zero.
        public var temperature: Float
        /// The weight of the teacher, 0…1.
        public var weight: Float

        /// Makes a distillation.
        public init(temperature: Float, weight: Float) {
            self.temperature = temperature
            self.weight = weight
        }
    }

    /// The smoothing s, 0…1.
    public var labelSmoothing: Float
    /// The distillation, or nil for none.
    public var distillation: Distillation?

    /// Makes a loss.
    public init(labelSmoothing: Float = 0, distillation: Distillation? = nil) {
        self.labelSmoothing = labelSmoothing
        self.distillation = distillation
    }
}
