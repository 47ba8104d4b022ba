import CKernels

/// The memory of a kernel's test: channels between guard values, in the same places for every instruction set.
struct KernelArena {
    /// A bit pattern that no kernel computes.
    static let guardValue = Float(bitPattern: 0x7fc0_dead)
    private static let guardLines = 3

    /// What makes the values.
    private let seed: UInt64
    private(set) var lines = guardLines
    /// Which lines hold values, and in which range.
    private var filled: [(lines: Range<Int>, values: ClosedRange<Float>)] = []

    init(seed: UInt64) { self.seed = seed }

    /// Allocates memory for a channel, with random values if a range is given. Returns its first line.
    mutating func take(_ pixels: Int, filledWith values: ClosedRange<Float>? = nil) -> Int {
        let first = lines
        lines += pixels + Self.guardLines
        if let values { filled.append((first..<first + pixels, values)) }
        return first
    }

    /// The memory for blocks of this many images. An image's values do not depend on their number.
    func values(lanes: Int) -> [Float] {
        var memory = [Float](repeating: Self.guardValue, count: lines * lanes)
        for (lines, values) in filled {
            for line in lines {
                for lane in 0..<lanes { memory[line * lanes + lane] = Self.value(seed, line, lane, in: values) }
            }
        }
        return memory
    }

    private static func value(_ seed: UInt64, _ line: Int, _ lane: Int, in range: ClosedRange<Float>) -> Float {
        var bits = seed &+ UInt64(line) &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(lane) &* 0xd1b5_4a32_d192_ed03
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        let share = Float((bits >> 40) & 0xff_ffff) / Float(1 << 24)
        return range.lowerBound + share * (range.upperBound - range.lowerBound)
    }
}

/// Copies of arrays that kernels point at, until the test is over.
final class KernelMemory {
    private var owned: [UnsafeMutableRawPointer] = []

    /// A copy, aligned to a cache line.
    func copy<Element: BitwiseCopyable>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let bytes = max(values.count * MemoryLayout<Element>.stride, 1)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        owned.append(memory)
        let typed = memory.bindMemory(to: Element.self, capacity: values.count)
        typed.initialize(from: values, count: values.count)
        return typed
    }

    deinit { owned.forEach { $0.deallocate() } }
}

/// The kernels of every instruction set of this machine; those without vector instructions come first.
var kernelSets: [winnow_kernels] {
    let names: [String] = ["plain", "avx2", "avx512", "neon"]
    return names.compactMap { winnow_kernels_named($0)?.pointee }
}

extension winnow_extent {
    var pixels: Int { Int(height) * Int(width) }

    init(_ height: Int, _ width: Int) { self.init(height: Int32(height), width: Int32(width)) }
}
