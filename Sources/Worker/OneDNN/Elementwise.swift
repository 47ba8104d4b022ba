import COneDNN
import Shared

/// A function of each value from oneDNN, forward and backward, on memory fixed at creation.
final class Elementwise {
    /// The gradients that it reads and writes; they may be the same.
    struct Gradients {
        var output: UnsafeMutablePointer<Float>
        var input: UnsafeMutablePointer<Float>
    }

    private let forwardOperation: OneDNNOperation
    private let backwardOperation: OneDNNOperation?

    /// Plans a function of `count` values; nil if oneDNN does not have it.
    init?(
        _ context: OneDNN, _ activation: Graph.Operation.Activation, count: Int, input: UnsafeMutablePointer<Float>,
        output: UnsafeMutablePointer<Float>, gradients: Gradients?
    ) throws {
        guard let (kind, alpha, beta) = Self.algorithm(activation) else { return nil }
        var values = try OneDNN.descriptor([count], dnnl_x)
        var descriptor = dnnl_eltwise_desc_t()
        try OneDNN.check(
            dnnl_eltwise_forward_desc_init(&descriptor, dnnl_forward_training, kind, &values, alpha, beta),
            "describe an activation")
        let forward = try context.plan(descriptor, "plan an activation")
        let source = try OneDNNMemory(context, values, input)
        forwardOperation = try context.operation(
            forward, [(DNNL_ARG_SRC, source), (DNNL_ARG_DST, try OneDNNMemory(context, values, output))])
        guard let gradients else {
            backwardOperation = nil
            return
        }
        var gradient = values
        try OneDNN.check(
            dnnl_eltwise_backward_desc_init(&descriptor, kind, &gradient, &values, alpha, beta),
            "describe an activation's gradient")
        backwardOperation = try context.operation(
            try context.plan(descriptor, hint: forward, "plan an activation's gradient"),
            [
                (DNNL_ARG_SRC, source), (DNNL_ARG_DIFF_DST, try OneDNNMemory(context, gradient, gradients.output)),
                (DNNL_ARG_DIFF_SRC, try OneDNNMemory(context, gradient, gradients.input)),
            ])
    }

    func forward() throws { try forwardOperation.run() }

    func backward() throws { try backwardOperation?.run() }

    /// oneDNN's name of a function, and its two constants.
    private static func algorithm(_ activation: Graph.Operation.Activation) -> (dnnl_alg_kind_t, Float, Float)? {
        func finite(_ bound: Double) -> Float {
            min(max(Float(bound), -Float.greatestFiniteMagnitude), Float.greatestFiniteMagnitude)
        }
        switch activation {
        case .relu: return (dnnl_eltwise_relu, 0, 0)
        case .leakyReLU(let slope): return (dnnl_eltwise_relu, Float(slope), 0)
        case .clip(let lowest, let highest): return (dnnl_eltwise_clip_v2, finite(lowest), finite(highest))
        case .sigmoid: return (dnnl_eltwise_logistic, 0, 0)
        case .silu: return (dnnl_eltwise_swish, 1, 0)
        case .tanh: return (dnnl_eltwise_tanh, 0, 0)
        case .elu(let alpha): return (dnnl_eltwise_elu, Float(alpha), 0)
        case .gelu: return (dnnl_eltwise_gelu_erf, 0, 0)
        case .geluTanh: return (dnnl_eltwise_gelu_tanh, 0, 0)
        case .prelu, .hardSigmoid, .hardSwish: return nil
        }
    }
}
