/// A dense array of 32-bit floats in row-major order.
public struct Tensor: Sendable, Equatable {
    /// The extent of every dimension, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The values, `shape.reduce(1, *)` of them.
    public let values: [Float]

    /// Makes a tensor. The number of values must be the product of the shape.
    public init(shape: [Int], values: [Float]) {
        precondition(values.count == shape.reduce(1, *), "a tensor's values must fill its shape")
        self.shape = shape
        self.values = values
    }
}
