import Foundation

/// Memory at fixed addresses, for the kernels to read; freed with its owner.
final class Storage {
    private var blocks: [UnsafeMutableRawPointer] = []

    /// The bytes that were taken.
    private(set) var bytes = 0

    deinit {
        for block in blocks { block.deallocate() }
    }

    /// The size of a large page; weights that fill one need fewer TLB entries in it.
    private static let largePageBytes = 2 << 20

    /// Uninitialised memory on a cache line's boundary.
    func make<Element: BitwiseCopyable>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
        let size = max(count, 1) * MemoryLayout<Element>.stride
        let isLarge = size >= Self.largePageBytes
        let block = UnsafeMutableRawPointer.allocate(
            byteCount: size, alignment: isLarge ? Self.largePageBytes : 64)
        // A hint: without large pages it is only slower.
        if isLarge { _ = madvise(block, size, MADV_HUGEPAGE) }
        blocks.append(block)
        bytes += size
        return block.bindMemory(to: Element.self, capacity: max(count, 1))
    }

    /// A copy of values.
    func copy<Element: BitwiseCopyable>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let target = make(values.count, of: Element.self)
        values.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { target.initialize(from: base, count: source.count) }
        }
        return target
    }
}
