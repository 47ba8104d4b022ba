/// Floats at a fixed address that begins a cache line, initially zero.
final class AlignedBuffer {
    private static let alignment = 64

    /// The first float.
    let pointer: UnsafeMutablePointer<Float>
    /// The number of floats.
    let count: Int

    init(count: Int) {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: Self.alignment)
        pointer = raw.bindMemory(to: Float.self, capacity: count)
        pointer.initialize(repeating: 0, count: count)
        self.count = count
    }

    deinit { pointer.deallocate() }

    /// The floats as an array.
    var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

    /// Copies as many values as the buffer holds.
    func assign(_ values: [Float]) {
        precondition(values.count == count, "a buffer is assigned as a whole")
        values.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { pointer.update(from: base, count: count) }
        }
    }

    /// The memory as twice as many values of bfloat16.
    var halves: UnsafeMutablePointer<UInt16> { UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt16.self) }

    func clear() { pointer.update(repeating: 0, count: count) }
}
