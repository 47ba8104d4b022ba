/// Floats of a plan, live from their first write to their last read.
final class PlanBuffer {
    /// The number of floats.
    let count: Int
    /// The moments between which it is alive.
    private(set) var moments: ClosedRange<Int>
    /// Gradients that it is a part of and that nobody has taken yet.
    var holders = 0
    private var base: UnsafeMutablePointer<Float>?

    init(count: Int, at moment: Int) {
        self.count = count
        moments = moment...moment
    }

    /// Marks the first write at a moment, with no reads yet.
    func begin(at moment: Int) { moments = moment...moment }

    /// Keeps it alive at a moment.
    func use(at moment: Int) { moments = min(moments.lowerBound, moment)...max(moments.upperBound, moment) }

    /// The floats, once the plan's memory exists.
    var pointer: UnsafeMutablePointer<Float> {
        guard let base else { preconditionFailure("the plan's memory is placed before it is used") }
        return base
    }

    /// The memory as twice as many values of bfloat16.
    var halves: UnsafeMutablePointer<UInt16> { UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt16.self) }

    /// The memory as this many integers.
    var integers: UnsafeMutablePointer<Int32> { UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Int32.self) }

    /// The floats as an array.
    var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

extension PlanBuffer {
    /// Floats of a line: a cache line, at which every buffer begins.
    private static let lineFloats = 16

    /// Gives every buffer a place in one arena; two buffers share a place only if they are never live at once.
    static func place(_ buffers: [PlanBuffer]) throws -> Arena {
        var plan = ArenaPlan()
        var pieces = [Range<Int>](repeating: 0..<0, count: buffers.count)
        let births = Dictionary(grouping: buffers.indices) { buffers[$0].moments.lowerBound }
        let deaths = Dictionary(grouping: buffers.indices) { buffers[$0].moments.upperBound }
        for moment in Set(births.keys).union(deaths.keys).sorted() {
            for index in births[moment] ?? [] {
                pieces[index] = plan.take((buffers[index].count + lineFloats - 1) / lineFloats)
            }
            for index in deaths[moment] ?? [] { plan.release(pieces[index]) }
        }
        let arena = try Arena(
            floats: plan.lines * lineFloats, advice: "compute fewer images at a time (more shards or a smaller batch)")
        for (buffer, piece) in zip(buffers, pieces) { buffer.base = arena.base + piece.lowerBound * lineFloats }
        return arena
    }
}
