import CKernels
import TestSupport
import Testing

/// Operations on single channels, of every kind and instruction set, compared with plain loops.
struct MapKernelTests {
    static let kinds =
        [
            WINNOW_ELEMENTWISE, WINNOW_MULTIPLY, WINNOW_DEPTHWISE, WINNOW_MAX_POOL, WINNOW_AVERAGE_POOL,
            WINNOW_ADAPTIVE_AVERAGE, WINNOW_COPY,
        ].map { Int($0) }

    @Test(arguments: kinds, 0..<60)
    func mapsAreThoseOfPlainLoops(kind: Int, seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed * Self.kinds.count + kind))
        MapProblem(kind, using: &generator).check()
    }

    @Test(arguments: [2, 3])
    func theLargestOfValuesThatAreNotAllNumbersIsNotANumber(side: Int) {
        for kernels in kernelSets {
            let lanes = Int(kernels.lanes)
            for place in 0..<side * side {
                let memory = KernelMemory()
                var values = (0..<side * side).map { Float($0) }
                values[place] = .nan
                let arena = memory.copy(
                    values.flatMap { [Float](repeating: $0, count: lanes) } + [Float](repeating: 0, count: lanes))
                var map = winnow_map()
                map.kind = Int32(WINNOW_MAX_POOL)
                (map.input, map.output) = (winnow_extent(side, side), winnow_extent(1, 1))
                (map.kernel, map.stride, map.dilation) = (map.input, winnow_extent(2, 2), winnow_extent(1, 1))
                map.input_lines = UnsafePointer(memory.copy([Int32(0)]))
                map.output_channels.count = 1
                map.output_channels.channels = map.input_lines
                map.output_channels.lines = UnsafePointer(memory.copy([Int32(side * side)]))
                kernels.map(&map, winnow_everything(arena, map.output))
                #expect((0..<lanes).allSatisfy { arena[side * side * lanes + $0].isNaN })
            }
        }
    }
}

/// A random operation.
private struct MapProblem {
    let kind: Int
    let isRaw: Bool
    let input: winnow_extent
    let other: winnow_extent
    let output: winnow_extent
    let kernel: winnow_extent
    let stride: winnow_extent
    let dilation: winnow_extent
    let padding: (top: Int, left: Int, bottom: Int, right: Int)
    let countsPadding: Bool
    let result: KernelOutput
    /// For every computed channel.
    let lines: [Int]
    let otherLines: [Int]
    /// [channel][taps]
    let weights: [Float]
    let arena: KernelArena

    init(_ kind: Int, using generator: inout SeededGenerator) {
        func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        self.kind = kind
        isRaw = random(0...3) == 0
        let room = winnow_extent(random(1...20), random(1...20))
        let one = winnow_extent(1, 1)
        var input = room
        var other = room
        var output = room
        // Half of the windows have a fast path.
        let isSquare = Bool.random(using: &generator)
        let side = kind == Int(WINNOW_DEPTHWISE) ? random(1...2) * 2 + 1 : random(2...3)
        let step = kind == Int(WINNOW_DEPTHWISE) ? random(1...2) : 2
        let kernel = isSquare ? winnow_extent(side, side) : winnow_extent(random(1...4), random(1...4))
        self.kernel = kernel
        stride = isSquare ? winnow_extent(step, step) : winnow_extent(random(1...3), random(1...3))
        dilation = isSquare ? one : winnow_extent(random(1...2), random(1...2))
        switch kind {
        case Int(WINNOW_ELEMENTWISE):
            if random(0...3) == 0 { input = one }
            padding = (0, 0, 0, 0)
        case Int(WINNOW_MULTIPLY):
            if random(0...2) == 0 { input = one } else if Bool.random(using: &generator) { other = one }
            padding = (0, 0, 0, 0)
        case Int(WINNOW_ADAPTIVE_AVERAGE):
            output = Bool.random(using: &generator) ? one : winnow_extent(random(1...9), random(1...9))
            padding = (0, 0, 0, 0)
        case Int(WINNOW_COPY):
            output = winnow_extent(random(1...20), random(1...20))
            padding = (random(-3...3), random(-3...3), 0, 0)
        default:
            // Every window has a pixel inside, so that a largest one exists.
            let reachY = Int(kernel.height - 1) * Int(dilation.height)
            let reachX = Int(kernel.width - 1) * Int(dilation.width)
            padding = (random(0...reachY), random(0...reachX), random(0...reachY), random(0...reachX))
            input = winnow_extent(max(Int(room.height), reachY + 1), max(Int(room.width), reachX + 1))
            output = winnow_extent(
                (Int(input.height) - 1 + padding.top) / Int(stride.height) + 1,
                (Int(input.width) - 1 + padding.left) / Int(stride.width) + 1)
            let lastY = (Int(input.height) + padding.top + padding.bottom - reachY - 1) / Int(stride.height) + 1
            let lastX = (Int(input.width) + padding.left + padding.right - reachX - 1) / Int(stride.width) + 1
            output = winnow_extent(min(Int(output.height), lastY), min(Int(output.width), lastX))
        }
        (self.input, self.other, self.output) = (input, other, output)
        countsPadding = Bool.random(using: &generator)
        let count = random(1...5)
        weights = (0..<count * kernel.pixels).map { _ in Float.random(in: -1...1, using: &generator) }
        var arena = KernelArena(seed: generator.next())
        result = KernelOutput(count, output, replaces: !isRaw, arena: &arena, using: &generator)
        let hasGaps = kind == Int(WINNOW_COPY)
        lines = result.channels.map { _ in
            hasGaps && random(0...3) == 0 ? -1 : arena.take(input.pixels, filledWith: -1...1)
        }
        otherLines = result.channels.map { _ in arena.take(other.pixels, filledWith: -1...1) }
        self.arena = arena
    }

    func check() {
        let description =
            "kind \(kind), \(input) to \(output), kernel \(kernel), stride \(stride), dilation \(dilation), "
            + "padding \(padding)"
        checkKernels(arena, written: result.written, description) { kernels, values, memory in
            run(kernels, values, memory)
        } expected: { lane, lanes, before in
            result.expected(lane: lane, lanes: lanes, memory: before, error: 1e-6) { index, row, column in
                func pixel(_ first: Int, _ size: winnow_extent, _ y: Int, _ x: Int) -> Double? {
                    guard first >= 0, (0..<Int(size.height)).contains(y), (0..<Int(size.width)).contains(x) else {
                        return nil
                    }
                    return Double(before[(first + y * Int(size.width) + x) * lanes + lane])
                }
                return sum(index, row, column, pixel)
            }
        }
    }

    private func sum(
        _ index: Int, _ row: Int, _ column: Int,
        _ pixel: (_ first: Int, _ size: winnow_extent, _ y: Int, _ x: Int) -> Double?
    ) -> KernelOutput.Sum {
        func broadcast(_ line: Int, _ size: winnow_extent) -> Double {
            (size.pixels == 1 ? pixel(line, size, 0, 0) : pixel(line, size, row, column)) ?? .nan
        }
        switch kind {
        case Int(WINNOW_ELEMENTWISE): return (broadcast(lines[index], input), 1)
        case Int(WINNOW_MULTIPLY): return (broadcast(lines[index], input) * broadcast(otherLines[index], other), 1)
        case Int(WINNOW_COPY):
            let (y, x) = (row * Int(stride.height) - padding.top, column * Int(stride.width) - padding.left)
            return (pixel(lines[index], input, y, x) ?? 0, 1)
        case Int(WINNOW_ADAPTIVE_AVERAGE):
            func region(_ i: Int, _ size: Int32, _ count: Int32) -> Range<Int> {
                let (size, count) = (Double(size), Double(count))
                return Int((Double(i) * size / count).rounded(.down))..<Int((Double(i + 1) * size / count).rounded(.up))
            }
            let values = region(row, input.height, output.height).flatMap { y in
                region(column, input.width, output.width).map { x in pixel(lines[index], input, y, x) ?? .nan }
            }
            return (values.reduce(0, +) / Double(values.count), 1)
        default: break
        }
        var values: [Double] = []
        var weighted: KernelOutput.Sum = (0, 0)
        var counted = 0
        for tap in 0..<kernel.pixels {
            let y = row * Int(stride.height) - padding.top + tap / Int(kernel.width) * Int(dilation.height)
            let x = column * Int(stride.width) - padding.left + tap % Int(kernel.width) * Int(dilation.width)
            if y < Int(input.height) + padding.bottom, x < Int(input.width) + padding.right { counted += 1 }
            guard let value = pixel(lines[index], input, y, x) else { continue }
            values.append(value)
            let product = value * Double(weights[result.channels[index] * kernel.pixels + tap])
            weighted = (weighted.value + product, weighted.magnitude + abs(product))
        }
        switch kind {
        case Int(WINNOW_DEPTHWISE): return weighted
        case Int(WINNOW_MAX_POOL): return (values.max() ?? -.infinity, 1)
        default: return (values.reduce(0, +) / Double(countsPadding ? counted : max(values.count, 1)), 1)
        }
    }

    private func run(_ kernels: winnow_kernels, _ values: UnsafeMutablePointer<Float>, _ memory: KernelMemory) {
        func numbers(_ values: [Int]) -> UnsafePointer<Int32> { UnsafePointer(memory.copy(values.map { Int32($0) })) }
        let output = result.described(in: memory)
        var map = winnow_map(
            kind: Int32(kind), raw: isRaw ? 1 : 0, input: input, output: self.output, other: other, kernel: kernel,
            stride: stride, dilation: dilation, pad_top: Int32(padding.top), pad_left: Int32(padding.left),
            pad_bottom: Int32(padding.bottom), pad_right: Int32(padding.right), counts_padding: countsPadding ? 1 : 0,
            input_lines: numbers(lines), other_lines: numbers(otherLines), weights: memory.copy(weights),
            output_channels: output)
        let isWhole = kind == Int(WINNOW_ADAPTIVE_AVERAGE)
        for rows in pieces(of: Int(self.output.height), multipleOf: isWhole ? Int(self.output.height) : 1) {
            var place = winnow_everything(values, self.output)
            (place.from, place.to) = (Int32(rows.lowerBound), Int32(rows.upperBound))
            kernels.map(&map, place)
        }
        if isRaw { kernels.normalise(&map.output_channels, values, self.output) }
    }
}
