/// What a convolution multiplies: an activation or a gradient, `[image, row, column, channel]`, at a fixed address.
struct ConvolutionOperand {
    /// The values.
    let values: UnsafeMutablePointer<Float>
    /// The same in bfloat16, where that is what convolutions multiply.
    let rounded: UnsafeMutablePointer<UInt16>?

    /// What the convolution reads.
    var address: UnsafeMutableRawPointer {
        rounded.map { UnsafeMutableRawPointer($0) } ?? UnsafeMutableRawPointer(values)
    }
}
