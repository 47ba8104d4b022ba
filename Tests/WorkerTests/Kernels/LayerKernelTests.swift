import CKernels
import TestSupport
import Testing

/// Layers of every kind and instruction set, compared with plain loops.
struct LayerKernelTests {
    static let kinds = [Int(WINNOW_WINOGRAD), Int(WINNOW_DIRECT), Int(WINNOW_POINTWISE)]

    @Test(arguments: kinds, 0..<40)
    func layersAreThoseOfPlainLoops(kind: Int, seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed * Self.kinds.count + kind))
        LayerProblem(kind, using: &generator).check()
    }
}

/// A random layer with up to three branches.
private struct LayerProblem {
    let kind: Int
    let isRaw: Bool
    let input: winnow_extent
    let output: winnow_extent
    let kernel: winnow_extent
    let stride: winnow_extent
    let dilation: winnow_extent
    let top: Int
    let left: Int
    /// Extents of the weights.
    let channels: Int
    let filters: Int
    /// The channels that some branch reads, and their places.
    let present: [Int]
    let lines: [Int]
    /// [filters][channels][taps]
    let weights: [Float]
    let branches: [(channels: [Int], output: KernelOutput)]
    let arena: KernelArena

    private var taps: Int { kernel.pixels }

    init(_ kind: Int, using generator: inout SeededGenerator) {
        func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        self.kind = kind
        // Otherwise an output might be written over a residual that is yet to be added.
        let isRaw = random(0...3) == 0
        self.isRaw = isRaw
        // Many channels, or a long row, make a kernel use several pieces.
        let isWide = random(0...5) == 0
        let isDeep = random(0...5) == 0
        let one = winnow_extent(1, 1)
        let room = winnow_extent(random(1...(isWide ? 3 : 14)), random(isWide ? 60...90 : 1...14))
        switch kind {
        case Int(WINNOW_WINOGRAD):
            (kernel, stride, dilation, top, left) = (winnow_extent(3, 3), one, one, 1, 1)
            (input, output) = (room, room)
        case Int(WINNOW_DIRECT):
            kernel = winnow_extent(random(1...5), random(1...5))
            stride = winnow_extent(random(1...3), random(1...3))
            dilation = winnow_extent(random(1...2), random(1...2))
            (top, left) = (random(0...Int(kernel.height)), random(0...Int(kernel.width)))
            input = room
            output = winnow_extent(random(1...(isWide ? 2 : 6)), random(1...(isWide ? 40 : 9)))
        default:
            (kernel, dilation, top, left) = (one, one, 0, 0)
            let isRow = random(0...3) == 0
            stride = isRow ? one : winnow_extent(random(1...2), random(1...2))
            output = isRow ? winnow_extent(1, random(1...6)) : room
            let (height, width) = (Int(output.height) - 1, Int(output.width) - 1)
            input =
                isRow
                ? output
                : winnow_extent(
                    height * Int(stride.height) + random(1...Int(stride.height)),
                    width * Int(stride.width) + random(1...Int(stride.width)))
        }
        channels = random(1...(isDeep ? 80 : 9))
        filters = random(1...(isDeep ? 9 : 40))
        var arena = KernelArena(seed: generator.next())
        let channels = channels
        present = (0..<channels).filter { _ in Int.random(in: 0..<4, using: &generator) > 0 }
        let inputPixels = input.pixels
        lines = present.map { _ in arena.take(inputPixels, filledWith: -1...1) }
        weights = (0..<filters * channels * kernel.pixels).map { _ in Float.random(in: -1...1, using: &generator) }
        let count = random(1...3)
        var branches: [(channels: [Int], output: KernelOutput)] = []
        for index in 0..<count {
            let isLast = index == count - 1
            let output = KernelOutput(
                filters, output, sharing: random(0...2) > 0 ? branches.last?.output : nil, replaces: isLast && !isRaw,
                arena: &arena, using: &generator)
            let read = present.filter { _ in isLast || Bool.random(using: &generator) }
            branches.append((read, output))
        }
        self.branches = branches
        self.arena = arena
    }

    func check() {
        let description =
            "\(input) to \(output), kernel \(kernel), stride \(stride), dilation \(dilation), padding \(top) \(left), "
            + "\(present.count) of \(channels) channels, \(filters) filters, \(branches.count) branches"
        checkKernels(arena, written: branches.flatMap(\.output.written), description) { kernels, values, memory in
            run(kernels, values, memory)
        } expected: { lane, lanes, before in
            branches.flatMap { branch in
                // Winograd's transformations magnify the errors of the sums.
                branch.output.expected(
                    lane: lane, lanes: lanes, memory: before, error: kind == Int(WINNOW_WINOGRAD) ? 1e-5 : 1e-6
                ) { index, row, column in
                    sum(branch.channels, branch.output.channels[index], row, column) { before[$0 * lanes + lane] }
                }
            }
        }
    }

    private func sum(
        _ read: [Int], _ filter: Int, _ row: Int, _ column: Int, _ value: (_ line: Int) -> Float
    ) -> KernelOutput.Sum {
        var sum = (value: 0.0, magnitude: 0.0)
        for (position, channel) in present.enumerated() where read.contains(channel) {
            for tap in 0..<taps {
                let (i, j) = (tap / Int(kernel.width), tap % Int(kernel.width))
                let y = row * Int(stride.height) - top + i * Int(dilation.height)
                let x = column * Int(stride.width) - left + j * Int(dilation.width)
                guard (0..<Int(input.height)).contains(y), (0..<Int(input.width)).contains(x) else { continue }
                let product =
                    Double(weights[(filter * channels + channel) * taps + tap])
                    * Double(value(lines[position] + y * Int(input.width) + x))
                sum.value += product
                sum.magnitude += abs(product)
            }
        }
        // The error of a tile's output is one of all of its inputs.
        if kind == Int(WINNOW_WINOGRAD) { sum.magnitude += Double(9 * read.count) }
        return sum
    }

    private func run(_ kernels: winnow_kernels, _ values: UnsafeMutablePointer<Float>, _ memory: KernelMemory) {
        func numbers(_ values: [Int]) -> UnsafePointer<Int32> { UnsafePointer(memory.copy(values.map { Int32($0) })) }
        let isWinograd = kind == Int(WINNOW_WINOGRAD)
        let arranged = memory.copy([Float](repeating: 0, count: channels * filters * (isWinograd ? 36 : taps)))
        if isWinograd {
            winnow_winograd_weights(weights, Int32(filters), Int32(channels), arranged)
        } else {
            winnow_transposed_weights(weights, Int32(filters), Int32(channels), Int32(taps), arranged)
        }
        let described = branches.map { branch in
            winnow_branch(
                input_rows: numbers(branch.channels.map { present.firstIndex(of: $0) ?? -1 }),
                channels: numbers(branch.channels), channel_count: Int32(branch.channels.count),
                output: branch.output.described(in: memory))
        }
        var layer = winnow_layer(
            kind: Int32(kind), raw: isRaw ? 1 : 0, input: input, output: output, kernel: kernel, stride: stride,
            dilation: dilation, pad_top: Int32(top), pad_left: Int32(left), channels: Int32(channels),
            filters: Int32(filters), input_count: Int32(present.count), input_lines: numbers(lines), weights: arranged,
            branch_count: Int32(branches.count), branches: memory.copy(described))
        let floats = winnow_scratch_floats(&layer, kernels.lanes)
        let guards = 64
        let scratch = memory.copy([Float](repeating: KernelArena.guardValue, count: floats + 2 * guards))
        for rows in pieces(of: Int(output.height), multipleOf: isWinograd ? 4 : 1) {
            var place = winnow_everything(values, output)
            (place.from, place.to) = (Int32(rows.lowerBound), Int32(rows.upperBound))
            kernels.layer(&layer, place, scratch + guards)
        }
        for branch in described where isRaw {
            withUnsafePointer(to: branch.output) { kernels.normalise($0, values, output) }
        }
        let around = Array(0..<guards) + Array(floats + guards..<floats + 2 * guards)
        #expect(around.allSatisfy { scratch[$0].bitPattern == KernelArena.guardValue.bitPattern })
    }
}
