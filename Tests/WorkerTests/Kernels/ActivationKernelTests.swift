import CKernels
import TestSupport
import Testing

/// Activations on many values, and sums of pixels.
struct ActivationKernelTests {
    /// An activation's results for values of one image.
    private func activated(_ kernels: winnow_kernels, _ kind: Int, _ values: [Float]) -> [Float] {
        let lanes = Int(kernels.lanes)
        let memory = KernelMemory()
        let arena = memory.copy(
            values.flatMap { [Float](repeating: $0, count: lanes) } + [Float](repeating: 0, count: values.count * lanes)
        )
        let size = winnow_extent(1, values.count)
        var map = winnow_map()
        map.kind = Int32(WINNOW_ELEMENTWISE)
        (map.input, map.output) = (size, size)
        map.kernel = winnow_extent(1, 1)
        map.input_lines = UnsafePointer(memory.copy([Int32(0)]))
        map.output_channels.count = 1
        map.output_channels.channels = UnsafePointer(memory.copy([Int32(0)]))
        map.output_channels.lines = UnsafePointer(memory.copy([Int32(values.count)]))
        map.output_channels.activation = winnow_activation(
            kind: Int32(kind), a: 0.25, b: 0.5, slopes: UnsafePointer(memory.copy([Float(0.125)])))
        kernels.map(&map, winnow_everything(arena, size))
        return (0..<values.count).map { arena[(values.count + $0) * lanes + lanes - 1] }
    }

    @Test(arguments: KernelOutput.activations)
    func activationsAreTheirDefinitions(kind: Int) {
        var values: [Float] = stride(from: Float(-30), through: 30, by: 1 / 256).map { $0 }
        for exponent in -40...10 {
            for step in 0..<32 {
                let value = Float(sign: .plus, exponent: exponent, significand: 1 + Float(step) / 32)
                values += [value, -value]
            }
        }
        var first: [UInt32]?
        for kernels in kernelSets {
            let results = activated(kernels, kind, values)
            for (x, y) in zip(values, results) {
                let expected = KernelOutput.activation(kind, a: 0.25, b: 0.5, slope: 0.125, Double(x))
                // Products that vanish need only vanish.
                let error = abs(Double(y) - expected)
                #expect(error <= max(2.5e-7 * abs(expected), 1e-7), "\(x) gives \(y) rather than \(expected)")
            }
            let bits = results.map(\.bitPattern)
            #expect(bits == first ?? bits, "\(String(cString: kernels.name)) gives other bits")
            first = first ?? bits
        }
    }

    @Test(arguments: KernelOutput.activations)
    func activationsAreSafeForEveryNumber(kind: Int) {
        let huge = Float.greatestFiniteMagnitude
        for kernels in kernelSets {
            let results = activated(
                kernels, kind, [.nan, .infinity, -.infinity, huge, -huge, 100, -100, 1e10, -1e10, 0])
            #expect(results[0].isNaN)
            #expect(results[1...].allSatisfy { !$0.isNaN })
            // They grow from the lowest value to the highest.
            let ascending = [results[2], results[4], results[8], results[6]]
            let top = [results[5], results[7], results[3], results[1]]
            #expect(top == top.sorted())
            let flat = [WINNOW_IDENTITY, WINNOW_LEAKY_RELU, WINNOW_PRELU].map { Int($0) }
            if flat.contains(kind) {
                #expect(ascending == ascending.sorted())
            } else {
                #expect(ascending.allSatisfy { abs($0) <= 0.25 || $0 == -1 }, "\(ascending)")
            }
        }
    }

    @Test(arguments: [1, 3, 4, 49, 64])
    func statisticsAreSumsOfValuesAndSquares(pixels: Int) {
        var arena = KernelArena(seed: UInt64(pixels))
        let lines = (0..<3).map { _ in arena.take(pixels, filledWith: -3...3) }
        for kernels in kernelSets {
            let lanes = Int(kernels.lanes)
            let values = arena.values(lanes: lanes)
            let memory = KernelMemory()
            var output = winnow_output()
            output.count = Int32(lines.count)
            output.lines = UnsafePointer(memory.copy(lines.map { Int32($0) }))
            let sums = memory.copy([Double](repeating: .nan, count: lines.count * 2 * lanes))
            kernels.statistics(&output, values, Int32(pixels), sums)
            for (index, line) in lines.enumerated() {
                for lane in 0..<lanes {
                    let image = (0..<pixels).map { Double(values[(line + $0) * lanes + lane]) }
                    #expect(abs(sums[index * 2 * lanes + lane] - image.reduce(0, +)) < 1e-10)
                    let squares = image.reduce(0) { $0 + $1 * $1 }
                    #expect(abs(sums[(index * 2 + 1) * lanes + lane] - squares) < 1e-10)
                }
            }
        }
    }
}
