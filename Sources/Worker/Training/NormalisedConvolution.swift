/// A convolution and the batch normalisation that follows it.
struct NormalisedConvolution {
    let convolution: Convolution
    let normalisation: BatchNormalisation
    /// The gradient of the normalisation's scale; that of its shift follows it.
    let scaleGradient: UnsafeMutablePointer<Float>

    /// Convolves, normalises, adds the shortcut if there is one, and applies the ReLU.
    func forward(_ statistics: NormalisationStatistics, shortcut: UnsafeMutablePointer<Float>? = nil) throws {
        try convolution.forward()
        normalisation.forward(statistics, shortcut: shortcut)
    }

    /// The pass back; see ``BatchNormalisation`` for the arguments.
    func backward(
        first: UnsafeMutablePointer<Float>, second: UnsafeMutablePointer<Float>?, inner: UnsafeMutablePointer<Float>,
        gates: ((UnsafeMutableBufferPointer<Float>) -> Void)?
    ) throws {
        let channels = normalisation.channels
        let images = convolution.shape.images
        let gateGradients = gates.map { _ in AlignedBuffer(count: images * channels) }
        normalisation.backward(
            first: first, second: second, inner: inner, scaleGradient: scaleGradient,
            shiftGradient: scaleGradient + channels, gates: gateGradients.map { ($0.pointer, images) })
        if let gates, let gateGradients {
            gates(UnsafeMutableBufferPointer(start: gateGradients.pointer, count: gateGradients.count))
        }
        try convolution.backward()
    }
}
