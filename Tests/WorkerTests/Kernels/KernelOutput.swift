import CKernels
import Foundation
import TestSupport

/// A random `winnow_output` and the expected result.
struct KernelOutput {
    /// How the residual's pixels belong to the output's.
    enum ResidualShape: CaseIterable { case none, same, strided, broadcast }

    let size: winnow_extent
    let shape: ResidualShape
    let channels: [Int]
    let lines: [Int]
    let passed: [Int]
    let passedLines: [Int]
    let passedResiduals: [Int]
    /// For every channel the residual's line, or -1.
    let residual: [Int]
    /// The same for every computed channel.
    let residuals: [Int]?
    let residualStride: Int
    let residualWidth: Int
    /// By channel's number.
    let scale: [Float]?
    let shift: [Float]?
    let slopes: [Float]
    let kind: Int
    let parameters: (a: Float, b: Float)

    static let activations =
        [
            WINNOW_IDENTITY, WINNOW_RELU, WINNOW_LEAKY_RELU, WINNOW_PRELU, WINNOW_CLIP, WINNOW_SIGMOID,
            WINNOW_HARD_SIGMOID, WINNOW_HARD_SWISH, WINNOW_SILU, WINNOW_TANH, WINNOW_ELU, WINNOW_GELU, WINNOW_GELU_TANH,
        ].map { Int($0) }

    /// Some of `count` channels of a size, with another output's residual or its own. With `replaces` the output
    /// overwrites its residual if that is its own.
    init(
        _ count: Int, _ size: winnow_extent, sharing: KernelOutput? = nil, replaces: Bool, arena: inout KernelArena,
        using generator: inout SeededGenerator
    ) {
        self.size = size
        let isComputed = (0..<count).map { _ in Int.random(in: 0..<4, using: &generator) > 0 }
        let shape = sharing?.shape ?? ResidualShape.allCases.randomElement(using: &generator) ?? .none
        self.shape = shape
        let ownStride = shape == .strided ? Int.random(in: 2...3, using: &generator) : shape == .broadcast ? 0 : 1
        let stride = sharing?.residualStride ?? ownStride
        let width = stride == 0 ? 1 : (Int(size.width) - 1) * stride + 1 + (stride > 1 ? 1 : 0)
        let pixels = stride == 0 ? 1 : ((Int(size.height) - 1) * stride + 1) * width
        // Which channels the residual has.
        let residual =
            sharing?.residual
            ?? (0..<count).map { _ in
                shape != .none && Int.random(in: 0..<4, using: &generator) > 0
                    ? arena.take(pixels, filledWith: -1...1) : -1
            }
        let outputs = (0..<count).map { channel -> Int in
            guard isComputed[channel] || residual[channel] >= 0 else { return -1 }
            return replaces && shape == .same && residual[channel] >= 0 ? residual[channel] : arena.take(size.pixels)
        }
        channels = (0..<count).filter { isComputed[$0] }
        lines = channels.map { outputs[$0] }
        self.residual = residual
        residuals = shape == .none ? nil : channels.map { residual[$0] }
        passed = (0..<count).filter { !isComputed[$0] && residual[$0] >= 0 }
        passedLines = passed.map { outputs[$0] }
        passedResiduals = passed.map { residual[$0] }
        residualStride = stride
        residualWidth = width
        func random() -> [Float] { (0..<count).map { _ in Float.random(in: -1...1, using: &generator) } }
        let isScaled = Int.random(in: 0..<4, using: &generator) > 0
        scale = isScaled ? random() : nil
        shift = isScaled ? random() : nil
        slopes = random()
        let chosen = Self.activations.randomElement(using: &generator) ?? 0
        kind = chosen
        parameters =
            chosen == Int(WINNOW_CLIP) ? (-0.5, Bool.random(using: &generator) ? 0.75 : .infinity) : (0.25, 0.5)
    }

    /// For the kernels.
    func described(in memory: KernelMemory) -> winnow_output {
        func numbers(_ values: [Int]) -> UnsafePointer<Int32> { UnsafePointer(memory.copy(values.map { Int32($0) })) }
        func floats(_ values: [Float]?) -> UnsafePointer<Float>? { values.map { UnsafePointer(memory.copy($0)) } }
        return winnow_output(
            count: Int32(channels.count), channels: numbers(channels), lines: numbers(lines), scale: floats(scale),
            shift: floats(shift), residual_lines: residuals.map(numbers), residual_width: Int32(residualWidth),
            residual_stride: Int32(residualStride), passed_count: Int32(passed.count),
            passed_channels: numbers(passed), passed_lines: numbers(passedLines),
            passed_residual_lines: numbers(passedResiduals),
            activation: winnow_activation(
                kind: Int32(kind), a: parameters.a, b: parameters.b, slopes: floats(slopes)))
    }

    /// The lines that it writes.
    var written: [Range<Int>] { (lines + passedLines).map { $0..<$0 + size.pixels } }

    /// A sum of products, and the sum of their magnitudes, to which its error is proportional.
    typealias Sum = (value: Double, magnitude: Double)

    /// The expected memory after it, of one image, for the given sums: (line, value, bound of the error).
    func expected(
        lane: Int, lanes: Int, memory: [Float], error: Double, sum: (_ index: Int, _ row: Int, _ column: Int) -> Sum
    ) -> [(line: Int, value: Double, bound: Double)] {
        var results: [(line: Int, value: Double, bound: Double)] = []
        func residual(_ line: Int, _ row: Int, _ column: Int) -> Double {
            let pixel = row * residualStride * residualWidth + column * residualStride
            return Double(memory[(line + pixel) * lanes + lane])
        }
        for row in 0..<Int(size.height) {
            for column in 0..<Int(size.width) {
                let pixel = row * Int(size.width) + column
                for (index, channel) in channels.enumerated() {
                    var (value, magnitude) = sum(index, row, column)
                    if let scale, let shift {
                        value = value * Double(scale[channel]) + Double(shift[channel])
                        magnitude = magnitude * Double(abs(scale[channel])) + 1
                    }
                    if let line = residuals?[index], line >= 0 { value += residual(line, row, column) }
                    // No activation is steeper than 2.
                    let bound = 2 * error * (magnitude + 1) + 4e-7
                    results.append((lines[index] + pixel, activated(value, channel), bound))
                }
                for (index, channel) in passed.enumerated() {
                    let value = activated(residual(passedResiduals[index], row, column), channel)
                    results.append((passedLines[index] + pixel, value, 4e-7))
                }
            }
        }
        return results
    }

    private func activated(_ x: Double, _ channel: Int) -> Double {
        Self.activation(kind, a: Double(parameters.a), b: Double(parameters.b), slope: Double(slopes[channel]), x)
    }

    /// The activations as they are defined.
    static func activation(_ kind: Int, a: Double, b: Double, slope: Double, _ x: Double) -> Double {
        switch kind {
        case Int(WINNOW_RELU): max(0, x)
        case Int(WINNOW_LEAKY_RELU): x < 0 ? a * x : x
        case Int(WINNOW_PRELU): x < 0 ? slope * x : x
        case Int(WINNOW_CLIP): min(max(x, a), b)
        case Int(WINNOW_SIGMOID): 1 / (1 + exp(-x))
        case Int(WINNOW_HARD_SIGMOID): min(max(a * x + b, 0), 1)
        case Int(WINNOW_HARD_SWISH): x * min(max(x / 6 + 0.5, 0), 1)
        case Int(WINNOW_SILU): x / (1 + exp(-x))
        case Int(WINNOW_TANH): tanh(x)
        case Int(WINNOW_ELU): x < 0 ? a * expm1(x) : x
        case Int(WINNOW_GELU): x * 0.5 * erfc(-x / 2.0.squareRoot())
        case Int(WINNOW_GELU_TANH): x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        default: x
        }
    }
}

/// Rows in pieces of one, two, three and more times a height.
func pieces(of rows: Int, multipleOf height: Int) -> [Range<Int>] {
    var result: [Range<Int>] = []
    while let start = result.last?.upperBound ?? Optional(0), start < rows {
        result.append(start..<min(start + (result.count + 1) * height, rows))
    }
    return result
}
