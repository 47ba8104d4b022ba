/// A channel's statistics.
struct ChannelStatistics {
    let mean: Double
    /// The population variance.
    let variance: Double

    /// Added to both variances when a layer without a batch norm is corrected: PyTorch's default epsilon, and a
    /// hundredth of the channel's own variance. So a channel that a mask makes nearly constant is amplified at most
    /// tenfold; what remains of it is noise.
    var epsilon: Double { 1e-5 + variance / 100 }

    /// These running statistics, corrected by the change of the channel's statistics on some images from `before` to
    /// `after`.
    ///
    /// Running statistics come from other images (all, cropped and mirrored) than those at hand. They are assumed to
    /// differ from these by a scale and a shift that the change does not affect: `mean' = mean + r (mean_after -
    /// mean_before)` and `variance' + ε = r² (variance_after + ε)` with `r² = (variance + ε) / (variance_before + ε)`.
    /// Without a change they stay the same.
    func corrected(from before: ChannelStatistics, to after: ChannelStatistics, epsilon: Double) -> ChannelStatistics {
        let ratio = (variance + epsilon) / (before.variance + epsilon)
        return ChannelStatistics(
            mean: mean + ratio.squareRoot() * (after.mean - before.mean),
            variance: ratio * (after.variance + epsilon) - epsilon)
    }
}

/// A batch normalisation of one channel as `scale * x + shift` of the layer's output before its bias, computed in
/// double precision.
func batchNorm(
    _ gain: Float, _ offset: Float, _ statistics: ChannelStatistics, epsilon: Double, bias: Float
) -> (scale: Float, shift: Float) {
    let scale = Double(gain) / (statistics.variance + epsilon).squareRoot()
    return (Float(scale), Float(Double(offset) + (Double(bias) - statistics.mean) * scale))
}

/// The map that restores the mean and deviation `before` of a channel whose statistics are `now` (its bias included),
/// as `scale * x + shift` of the layer's output before its bias.
func restoring(
    _ before: ChannelStatistics, from now: ChannelStatistics, bias: Float
) -> (scale: Double, shift: Double) {
    let scale = ((before.variance + before.epsilon) / (now.variance + before.epsilon)).squareRoot()
    return (scale, (Double(bias) - now.mean) * scale + before.mean)
}
