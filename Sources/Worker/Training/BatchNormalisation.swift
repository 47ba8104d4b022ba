import CKernels
import Shared

/// Which statistics a batch normalisation normalises with.
enum NormalisationStatistics {
    /// The batch's own, as in training.
    case batch
    /// The running ones, as in evaluation: then images do not influence one another.
    case running
}

/// A batch normalisation with what follows it: the sum with the shortcut, if there is one, and the ReLU.
///
/// y = (x - mean) / sqrt(variance + epsilon) * scale + shift; its gradient is Ioffe and Szegedy's (2015, section 3).
final class BatchNormalisation {
    let channels: Int
    /// Positions of all images together.
    private let pixels: Int
    private let x: UnsafeMutablePointer<Float>
    private let y: ConvolutionOperand
    private let xGradient: ConvolutionOperand
    /// The parameters, which the plan holds.
    private let scale: UnsafeMutablePointer<Float>
    private let shift: UnsafeMutablePointer<Float>
    private let runningMean: UnsafeMutablePointer<Float>
    private let runningVariance: UnsafeMutablePointer<Float>

    private let mean: AlignedBuffer
    private let variance: AlignedBuffer
    private let deviationInverse: AlignedBuffer
    private let factor: AlignedBuffer
    private let offset: AlignedBuffer
    private let slope: AlignedBuffer
    private var statistics = NormalisationStatistics.batch

    /// Where a normalisation's parameters lie.
    struct Parameters {
        var scale: UnsafeMutablePointer<Float>
        var shift: UnsafeMutablePointer<Float>
        var runningMean: UnsafeMutablePointer<Float>
        var runningVariance: UnsafeMutablePointer<Float>
    }

    /// A normalisation of x into y. The gradient of x is written to `xGradient`, whose values may be x itself.
    init(
        channels: Int, pixels: Int, x: UnsafeMutablePointer<Float>, y: ConvolutionOperand,
        xGradient: ConvolutionOperand, parameters: Parameters
    ) {
        self.channels = channels
        self.pixels = pixels
        self.x = x
        self.y = y
        self.xGradient = xGradient
        scale = parameters.scale
        shift = parameters.shift
        runningMean = parameters.runningMean
        runningVariance = parameters.runningVariance
        mean = AlignedBuffer(count: channels)
        variance = AlignedBuffer(count: channels)
        deviationInverse = AlignedBuffer(count: channels)
        factor = AlignedBuffer(count: channels)
        offset = AlignedBuffer(count: channels)
        slope = AlignedBuffer(count: channels)
    }

    /// Normalises x, adds the shortcut if there is one, and writes y.
    func forward(_ statistics: NormalisationStatistics, shortcut: UnsafeMutablePointer<Float>? = nil) {
        self.statistics = statistics
        switch statistics {
        case .batch: winnow_channel_statistics(x, pixels, channels, mean.pointer, variance.pointer)
        case .running:
            mean.pointer.update(from: runningMean, count: channels)
            variance.pointer.update(from: runningVariance, count: channels)
        }
        for channel in 0..<channels {
            let inverse = 1 / (variance.pointer[channel] + Network.batchNormEpsilon).squareRoot()
            deviationInverse.pointer[channel] = inverse
            factor.pointer[channel] = inverse * scale[channel]
            offset.pointer[channel] = shift[channel] - mean.pointer[channel] * factor.pointer[channel]
        }
        winnow_scale_shift(x, pixels, channels, factor.pointer, offset.pointer, shortcut, true, y.values, y.rounded)
    }

    /// From the gradient with respect to y (the sum of two where `second` is given) writes the one before the ReLU,
    /// which is also the shortcut's, to `inner`, those of the parameters, and that of x. `inner` may be `first` or
    /// `second`. Where `gates` is given it gets each image's gradient with respect to a gate on each
    /// channel of what the shortcut is added to, `[images, channels]`.
    func backward(
        first: UnsafeMutablePointer<Float>, second: UnsafeMutablePointer<Float>? = nil,
        inner: UnsafeMutablePointer<Float>, scaleGradient: UnsafeMutablePointer<Float>,
        shiftGradient: UnsafeMutablePointer<Float>, gates: (pointer: UnsafeMutablePointer<Float>, images: Int)?
    ) {
        winnow_normalisation_gradient_sums(
            first, second, y.values, x, pixels, channels, mean.pointer, deviationInverse.pointer, inner, shiftGradient,
            scaleGradient)
        if let gates {
            winnow_gate_gradients(
                inner, x, gates.images, pixels / gates.images, channels, factor.pointer, offset.pointer, gates.pointer)
        }
        for channel in 0..<channels {
            switch statistics {
            case .batch:
                offset.pointer[channel] = shiftGradient[channel] / Float(pixels)
                slope.pointer[channel] =
                    scaleGradient[channel] / Float(pixels) * deviationInverse.pointer[channel]
            case .running:
                offset.pointer[channel] = 0
                slope.pointer[channel] = 0
            }
        }
        winnow_normalisation_gradient(
            inner, x, pixels, channels, factor.pointer, offset.pointer, mean.pointer, slope.pointer,
            xGradient.values, xGradient.rounded)
    }

    /// The mean and the unbiased variance of the last forward pass.
    func batchStatistics() -> [Float] {
        let correction = Float(pixels) / Float(max(pixels - 1, 1))
        return mean.values + variance.values.map { $0 * correction }
    }
}
