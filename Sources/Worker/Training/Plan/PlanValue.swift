import Shared

/// A node's output for all images, `[image, row, column, channel]`, and its gradient.
final class PlanValue {
    let shape: Shape
    let buffer: PlanBuffer
    /// Nodes that read it, with multiplicity.
    let readers: Int
    /// Whether some parameter changes it.
    let dependsOnParameters: Bool
    /// Whether its maker accepts its gradient as a sum of two.
    var takesTwoGradients = false
    /// Whether convolutions multiply it in bfloat16.
    var isRounded = false
    /// The values in bfloat16, where ``isRounded``.
    var rounded: PlanBuffer?
    /// Whether it is the output of a convolution that uses its gradient in bfloat16.
    var wantsRoundedGradient = false
    /// Its gradient in bfloat16, if its only reader wrote it so.
    var roundedGradient: PlanBuffer?
    /// Its readers' contributions to its gradient, which is their sum.
    fileprivate(set) var gradients: [PlanBuffer] = []

    init(_ shape: Shape, _ buffer: PlanBuffer, readers: Int, dependsOnParameters: Bool) {
        self.shape = shape
        self.buffer = buffer
        self.readers = readers
        self.dependsOnParameters = dependsOnParameters
    }

    /// Adds a part of its gradient.
    func append(_ gradient: PlanBuffer) {
        gradient.holders += 1
        gradients.append(gradient)
    }

    /// Takes the parts of its gradient; the taker of a part that nobody else holds may overwrite it.
    func takeGradients() -> [PlanBuffer] {
        for gradient in gradients { gradient.holders -= 1 }
        defer { gradients = [] }
        return gradients
    }
}

/// A value that a step reads.
struct PlanEdge {
    let value: PlanValue
    /// The node of the graph that reads it, and its place among the node's inputs; nil if the plan inserted a step
    /// between.
    let reader: (node: Int, position: Int)?

    init(value: PlanValue, reader: (node: Int, position: Int)? = nil) {
        self.value = value
        self.reader = reader
    }
}
