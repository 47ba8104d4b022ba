import Foundation

/// How the learning rate goes over a training.
struct LearningRateSchedule: Sendable, Hashable, Codable {
    /// The form.
    enum Form: String, Sendable, Codable, CaseIterable {
        /// From the peak to zero along half a cosine (Loshchilov and Hutter 2017).
        case cosine
        /// A tenth of the peak after half of the training, a hundredth after three quarters (He et al. 2016).
        case step
    }

    /// The form.
    var form = Form.cosine
    /// The greatest rate.
    var peak: Float = 0.05
    /// Epochs in which the rate rises from zero to the peak.
    var warmUpEpochs = 1.0

    /// The rate of a step, counted from zero.
    func rate(step: Int, stepsPerEpoch: Int, epochs: Int) -> Float {
        let warmUp = warmUpEpochs * Double(stepsPerEpoch)
        if Double(step) < warmUp { return peak * Float((Double(step) + 1) / (warmUp + 1)) }
        let progress = (Double(step) - warmUp) / max(Double(stepsPerEpoch * epochs) - warmUp, 1)
        switch form {
        case .cosine: return peak * Float((1 + cos(.pi * progress)) / 2)
        case .step: return peak * (progress < 0.5 ? 1 : progress < 0.75 ? 0.1 : 0.01)
        }
    }
}
