import CKernels
import COneDNN
import Shared

/// A linear layer, with a ReLU or without, on memory fixed when it is made: y = relu(x Wᵀ + b).
final class DenseLayer {
    let images: Int
    let input: Int
    let output: Int
    private let relu: Bool
    private let x: UnsafeMutablePointer<Float>
    private let weights: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>
    /// What goes out, `[images, output]`.
    let y: AlignedBuffer
    /// The gradient with respect to ``y``, which ``backward(weightGradient:biasGradient:inputGradient:)`` masks.
    let yGradient: AlignedBuffer
    private let ones: [Float]
    private let zeros: [Float]

    init(
        images: Int, input: Int, output: Int, relu: Bool, x: UnsafeMutablePointer<Float>,
        weights: UnsafeMutablePointer<Float>, bias: UnsafeMutablePointer<Float>
    ) {
        self.images = images
        self.input = input
        self.output = output
        self.relu = relu
        self.x = x
        self.weights = weights
        self.bias = bias
        y = AlignedBuffer(count: images * output)
        yGradient = AlignedBuffer(count: images * output)
        ones = [Float](repeating: 1, count: output)
        zeros = [Float](repeating: 0, count: output)
    }

    func forward() throws {
        try OneDNN.multiply("N", "T", images, output, input, x, input, weights, input, y.pointer)
        winnow_scale_shift(y.pointer, images, output, ones, bias, nil, relu, y.pointer, nil)
    }

    /// From ``yGradient`` the gradients of the weights, the bias and, where wanted, the input.
    func backward(
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>?
    ) throws {
        let unused = AlignedBuffer(count: output)
        withExtendedLifetime(unused) {
            winnow_normalisation_gradient_sums(
                yGradient.pointer, nil, relu ? y.pointer : nil, y.pointer, images, output, zeros, zeros,
                yGradient.pointer, biasGradient, unused.pointer)
        }
        try OneDNN.multiply("T", "N", output, input, images, yGradient.pointer, output, x, input, weightGradient)
        if let inputGradient {
            try OneDNN.multiply(
                "N", "N", images, input, output, yGradient.pointer, output, weights, input, inputGradient)
        }
    }
}
