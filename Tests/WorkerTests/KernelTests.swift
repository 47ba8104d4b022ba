import CKernels
import TestSupport
import Testing

@testable import Worker

/// Every kernel of every instruction set beside plain loops, with guard values around every buffer.
struct KernelTests {
    /// A bit pattern that no kernel computes.
    static let guardValue = Float(bitPattern: 0x7fc0_dead)

    static let cases: [(instructionSet: InstructionSet, kind: Int, size: Int, stride: Int)] =
        InstructionSet.available.flatMap { set -> [(InstructionSet, Int, Int, Int)] in
            // Without vector instructions a multiply-add is a call, so only the smallest size is tried.
            let sizes = set == .plain ? [8] : [8, 16, 32]
            return sizes.flatMap { size in
                [
                    (set, Int(WINNOW_WINOGRAD), size, 1), (set, Int(WINNOW_DIRECT), size, 1),
                    (set, Int(WINNOW_DIRECT), size, 2), (set, Int(WINNOW_DIRECT), size - 1, 2),
                ]
            } + [(set, Int(WINNOW_LINEAR), 1, 1), (set, Int(WINNOW_LINEAR), 4, 1)]
        }

    @Test(arguments: cases.indices)
    func layersAreThoseOfPlainLoops(index: Int) {
        let (instructionSet, kind, size, stride) = Self.cases[index]
        var generator = SeededGenerator(seed: UInt64(index))
        // All counts where it is cheap, the awkward ones where it is not.
        let counts = size <= 8 && instructionSet != .plain ? Array(1...64) : [0, 1, 6, 7, 16, 25, 64]
        for count in counts {
            let other = counts[Int.random(in: counts.indices, using: &generator)]
            let problem = LayerProblem(
                kernels: instructionSet.kernels, kind: kind, size: size, stride: stride, inputs: count,
                filters: max(other, 1), using: &generator)
            problem.check(isRaw: kind != Int(WINNOW_LINEAR) && Bool.random(using: &generator))
        }
    }
}

/// A random layer with two branches, its buffers between guard values, and what it must give.
private struct LayerProblem {
    let kernels: winnow_kernels
    let kind: Int
    let size: Int
    let stride: Int
    /// Channels of the weights, and how many of them a branch reads.
    let channels: Int
    let filters: Int
    /// The channels that each branch reads, and the filters that it computes and that it passes the shortcut through.
    let read: [[Int]]
    let computed: [[Int]]
    let passed: [[Int]]
    let weights: [Float]
    let scale: [Float]
    let shift: [Float]
    private(set) var memory: [Float]
    let outputSize: Int
    let taps: Int

    private var lanes: Int { Int(kernels.lanes) }
    private var isLinear: Bool { kind == Int(WINNOW_LINEAR) }
    private var inputPixels: Int { isLinear ? size : size * size }
    private var outputPixels: Int { isLinear ? size : outputSize * outputSize }
    private static let guardLines = 3
    private var inputPlane: Int { (inputPixels + Self.guardLines) * lanes }
    private var outputPlane: Int { (outputPixels + Self.guardLines) * lanes }
    private var input: Int { Self.guardLines * lanes }
    private var residual: Int { input + channels * inputPlane }
    private func output(_ branch: Int) -> Int { residual + (branch + 1) * filters * outputPlane }

    init(
        kernels: winnow_kernels, kind: Int, size: Int, stride: Int, inputs: Int, filters: Int,
        using generator: inout SeededGenerator
    ) {
        self.kernels = kernels
        self.kind = kind
        self.size = size
        self.stride = stride
        self.filters = filters
        channels = inputs + 2
        outputSize = (size - 1) / stride + 1
        taps = kind == Int(WINNOW_LINEAR) ? 1 : 9
        let channels = channels
        let all = Array(0..<channels).shuffled(using: &generator).prefix(inputs)
        read = [all.sorted(), all.filter { _ in Bool.random(using: &generator) }.sorted()]
        let some = (0..<filters).filter { _ in Int.random(in: 0..<4, using: &generator) > 0 }
        computed = [Array(0..<filters), some]
        passed = computed.map { computed in (0..<filters).filter { !computed.contains($0) } }
        func random(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
        }
        weights = random(filters * channels * taps)
        scale = random(filters)
        shift = random(filters)
        self.memory = []
        let total = output(2) + 2 * filters * outputPlane
        var memory = [Float](repeating: KernelTests.guardValue, count: total)
        for channel in 0..<channels {
            for index in 0..<inputPixels * lanes {
                memory[input + channel * inputPlane + index] = Float.random(in: -1...1, using: &generator)
            }
        }
        for filter in 0..<filters {
            for index in 0..<outputPixels * lanes {
                memory[residual + filter * outputPlane + index] = Float.random(in: 0...1, using: &generator)
            }
        }
        self.memory = memory
    }

    func check(isRaw: Bool) {
        let storage = Storage()
        let arena = storage.copy(memory)
        let transformed = storage.make(channels * filters * 36, of: Float.self)
        if kind == Int(WINNOW_WINOGRAD) {
            winnow_winograd_weights(weights, Int32(filters), Int32(channels), transformed)
        } else {
            winnow_transposed_weights(weights, Int32(filters), Int32(channels), Int32(taps), transformed)
        }
        let slots = read[0]
        var branches: [winnow_branch] = []
        for branch in 0..<2 {
            let rows = read[branch].map { Int32(slots.firstIndex(of: $0) ?? -1) }
            let filters = computed[branch].map { Int32($0) }
            let residuals = filters.map { $0 % 3 == 0 ? -1 : $0 }
            let others = passed[branch].map { Int32($0) }
            let described = winnow_branch(
                input_rows: storage.copy(rows), channels: storage.copy(read[branch].map { Int32($0) }),
                channel_count: Int32(rows.count), filter_count: Int32(filters.count), filters: storage.copy(filters),
                output_slots: storage.copy(filters), residual_slots: storage.copy(residuals),
                scale: storage.copy(scale), shift: storage.copy(shift), output: output(branch), residual: residual,
                residual_plane: outputPlane, residual_size: Int32(outputSize), residual_stride: isLinear ? 0 : 1,
                passed_count: isLinear ? 0 : Int32(others.count), relu: branch == 0 ? 1 : 0,
                passed_outputs: storage.copy(others), passed_residuals: storage.copy(others))
            branches.append(described)
        }
        var layer = winnow_layer(
            kind: Int32(kind), size: Int32(size), stride: Int32(stride), raw: isRaw ? 1 : 0,
            channels: Int32(channels), filters: Int32(filters), input_count: Int32(slots.count), branch_count: 2,
            input_slots: storage.copy(slots.map { Int32($0) }), weights: transformed, branches: storage.copy(branches),
            input: input, input_plane: inputPlane, output_plane: outputPlane)
        let scratchFloats = winnow_scratch_floats(&layer, Int32(lanes))
        let guards = 64
        let scratch = storage.copy(
            [Float](repeating: KernelTests.guardValue, count: scratchFloats + 2 * guards))
        kernels.layer(&layer, arena, scratch + guards)
        if isRaw {
            for branch in 0..<2 { kernels.normalise(layer.branches + branch, arena, outputPlane, Int32(outputSize)) }
        }
        compare(arena)
        let around = Array(0..<guards) + Array(scratchFloats + guards..<scratchFloats + 2 * guards)
        #expect(around.allSatisfy { scratch[$0].bitPattern == KernelTests.guardValue.bitPattern })
    }

    /// Everything but the results is as it was, and the results are those of plain loops.
    private func compare(_ arena: UnsafeMutablePointer<Float>) {
        var isResult = [Bool](repeating: false, count: memory.count)
        var worst = 0.0
        for branch in 0..<2 {
            for filter in isLinear ? computed[branch] : Array(0..<filters) {
                let isComputed = computed[branch].contains(filter)
                for pixel in 0..<outputPixels {
                    let first = output(branch) + filter * outputPlane + pixel * lanes
                    for lane in 0..<lanes { isResult[first + lane] = true }
                    for lane in Set([0, (filter + pixel) % lanes, lanes - 1]) {
                        let expected =
                            isComputed
                            ? expected(branch, filter, pixel, lane)
                            : Double(memory[residual + filter * outputPlane + pixel * lanes + lane])
                        // A value that is not a number fails this, too.
                        let difference = abs(Double(arena[first + lane]) - expected)
                        worst = difference <= worst ? worst : difference
                    }
                }
            }
        }
        // Sums of up to 64 × 9 terms below 1 in single precision.
        #expect(worst < 4e-4, "\(read[0].count) channels, \(filters) filters")
        let isUntouched = memory.indices.allSatisfy { isResult[$0] || arena[$0].bitPattern == memory[$0].bitPattern }
        #expect(isUntouched, "written outside of the results")
    }

    private func expected(_ branch: Int, _ filter: Int, _ pixel: Int, _ lane: Int) -> Double {
        var sum = 0.0
        for channel in read[branch] {
            let plane = input + channel * inputPlane + lane
            if isLinear {
                sum += Double(weights[filter * channels + channel]) * Double(memory[plane + pixel * lanes])
                continue
            }
            for tap in 0..<9 {
                let row = pixel / outputSize * stride + tap / 3 - 1
                let column = pixel % outputSize * stride + tap % 3 - 1
                guard (0..<size).contains(row), (0..<size).contains(column) else { continue }
                sum +=
                    Double(weights[(filter * channels + channel) * 9 + tap])
                    * Double(memory[plane + (row * size + column) * lanes])
            }
        }
        sum = sum * Double(scale[filter]) + Double(shift[filter])
        if !isLinear, filter % 3 != 0 { sum += Double(memory[residual + filter * outputPlane + pixel * lanes + lane]) }
        return branch == 0 ? max(0, sum) : sum
    }
}
