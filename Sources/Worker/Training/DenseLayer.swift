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
        try multiply("N", "T", images, output, input, x, input, weights, input, y.pointer)
        winnow_scale_shift(y.pointer, images, output, ones, bias, nil, relu, y.pointer)
    }

    /// From ``yGradient`` the gradients of the weights, the bias and, where wanted, the input.
    func backward(
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>?
    ) throws {
        let unused = AlignedBuffer(count: output)
        winnow_normalisation_gradient_sums(
            yGradient.pointer, nil, relu ? y.pointer : nil, y.pointer, images, output, zeros, zeros, yGradient.pointer,
            biasGradient, unused.pointer)
        try multiply("T", "N", output, input, images, yGradient.pointer, output, x, input, weightGradient)
        if let inputGradient {
            try multiply("N", "N", images, input, output, yGradient.pointer, output, weights, input, inputGradient)
        }
    }

    /// c = a b, row-major, `[rows, columns]`, the sums over `depth`; "T" transposes.
    private func multiply(
        _ transposeA: Character, _ transposeB: Character, _ rows: Int, _ columns: Int, _ depth: Int,
        _ a: UnsafeMutablePointer<Float>, _ aStride: Int, _ b: UnsafeMutablePointer<Float>, _ bStride: Int,
        _ c: UnsafeMutablePointer<Float>
    ) throws {
        func code(_ character: Character) -> CChar { CChar(character.asciiValue ?? 0) }
        try OneDNN.check(
            dnnl_sgemm(
                code(transposeA), code(transposeB), dnnl_dim_t(rows), dnnl_dim_t(columns), dnnl_dim_t(depth), 1, a,
                dnnl_dim_t(aStride), b, dnnl_dim_t(bStride), 0, c, dnnl_dim_t(columns)), "multiply matrices")
    }
}
