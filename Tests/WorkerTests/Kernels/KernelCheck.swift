import CKernels
import Testing

/// Runs a problem with every instruction set: each agrees with plain loops, writes nowhere else, and gives the same
/// bits as the others.
func checkKernels(
    _ arena: KernelArena, written: [Range<Int>], _ description: String,
    run: (winnow_kernels, UnsafeMutablePointer<Float>, KernelMemory) -> Void,
    expected: (_ lane: Int, _ lanes: Int, _ memory: [Float]) -> [(line: Int, value: Double, bound: Double)]
) {
    // Images that the blocks of all instruction sets have.
    let shared = kernelSets.map { Int($0.lanes) }.min() ?? 0
    var first: [Float]?
    for kernels in kernelSets {
        let lanes = Int(kernels.lanes)
        let before = arena.values(lanes: lanes)
        let memory = KernelMemory()
        let values = memory.copy(before)
        run(kernels, values, memory)
        let after = Array(UnsafeBufferPointer(start: values, count: before.count))

        var isWritten = [Bool](repeating: false, count: arena.lines)
        for lines in written { for line in lines { isWritten[line] = true } }
        let isElsewhere = before.indices.contains { index in
            !isWritten[index / lanes] && before[index].bitPattern != after[index].bitPattern
        }
        #expect(!isElsewhere, "\(String(cString: kernels.name)) writes elsewhere: \(description)")

        var wrong = 0
        for lane in [0, lanes - 1] {
            for result in expected(lane, lanes, before) {
                // NaN fails this, too.
                let isClose = abs(Double(after[result.line * lanes + lane]) - result.value) <= result.bound
                wrong += isClose ? 0 : 1
            }
        }
        #expect(wrong == 0, "\(String(cString: kernels.name)) is wrong: \(description)")

        let compared = (0..<arena.lines).flatMap { after[$0 * lanes..<$0 * lanes + shared] }
        let others = first ?? compared
        first = others
        let isSame = zip(compared, others).allSatisfy { $0.bitPattern == $1.bitPattern }
        #expect(isSame, "\(String(cString: kernels.name)) gives other bits: \(description)")
    }
}
