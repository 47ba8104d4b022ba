import CKernels
import Shared
import Synchronization

/// The images to fit layers on, and the threads and memory for passes over them.
final class FittingImages {
    /// The floats of rows to batch; this must not depend on threads or memory, since sums would have other bits.
    private static let batchFloats = 1 << 25

    /// Images.
    var count: Int { images.count }

    private let images: PreparedImages
    private let normalisation: Normalisation
    private let kernels: winnow_kernels
    private let threads: Int
    private let memoryBytesMax: Int

    /// Takes images that have not been used to test anything. Throws a ``Failure`` if they do not fit the network.
    init(
        _ images: ImageSet, for graph: Graph, normalisation: Normalisation, threads: Int, memoryBytesMax: Int
    ) throws {
        try images.check(fits: graph)
        try images.check(normalisation)
        kernels = try InstructionSet.preferred().kernels
        self.images = PreparedImages(images, count: images.count, lanes: kernels.lanesCount)
        self.normalisation = normalisation
        self.threads = threads
        self.memoryBytesMax = memoryBytesMax
    }

    /// A pass of these images through a network.
    func walk(_ network: Network, order: [Int]) -> NetworkWalk {
        NetworkWalk(network, order: order, images: images, normalisation: normalisation, kernels: kernels)
    }

    /// The memory for equations: half of all.
    var equationBytesMax: Int { memoryBytesMax / 2 }

    /// The source of a layer's rows.
    struct Source {
        /// The pass that reaches the layer's inputs, and the position where they exist.
        let walk: NetworkWalk
        let position: Int
        /// For every channel that the layer reads, group by group, its place in an arena (``NetworkWalk/lines(of:)``).
        let channels: [Int32]
        /// The target: a pass, a position, and the channels.
        var targets: (walk: NetworkWalk, position: Int, channels: [Int32])?
        /// What to subtract from that, of the first pass; empty for nothing.
        var lessen: [Int32] = []
    }

    /// Adds a layer's rows to the equations of its groups of filters.
    func add(_ rows: LayerRows, _ source: Source, to equations: inout [any LeastSquares]) throws {
        let columns = source.channels.count * rows.taps
        let targets = source.targets?.channels.count ?? 0
        let walks = [source.walk] + (source.targets.map { [$0.walk] } ?? [])
        let bytes = walks.reduce(0) { $0 + $1.arenaFloats * MemoryLayout<Float>.stride }
        let available = memoryBytesMax / 2
        guard bytes <= available else {
            throw Failure(
                .unavailable, "fitting layers takes \((2 * bytes) >> 20) MB for one thread; raise --memory-limit")
        }
        let threads = min(threads, available / max(bytes, 1))
        let kept = (available - threads * bytes) / walks.count
        let positions = [source.position] + (source.targets.map { [$0.position] } ?? [])
        let legs = try zip(walks, positions).map { try $0.leg(to: $1, keepingBytesMax: kept) }
        let scratchFloats = legs.map(\.scratchFloats).max() ?? 0
        let arenas = try (0..<threads).map { _ in try walks.map { try Arena(floats: $0.arenaFloats) } }
        let scratch = try (0..<threads).map { _ in try Arena(floats: scratchFloats) }
        let blockRows = rows.pixels * kernels.lanesCount
        let batch = min(max(1, Self.batchFloats / max(1, (columns + targets) * blockRows)), images.blocks)
        let stride = batch * blockRows
        let (x, t) = (try Arena(floats: columns * stride), try Arena(floats: targets * stride))
        let always = rows.pixels == rows.output.pixels ? Array(0..<rows.output.pixels) : nil
        let alwaysRead = always.map(rows.read)
        for first in Swift.stride(from: 0, to: images.blocks, by: batch) {
            let blocks = first..<min(first + batch, images.blocks)
            let next = Atomic<Int>(first)
            try onThreads(min(threads, blocks.count)) { thread in
                while true {
                    let block = next.add(1, ordering: .relaxed).oldValue
                    guard blocks.contains(block) else { return }
                    for (walk, (leg, arena)) in zip(walks, zip(legs, arenas[thread])) {
                        walk.run(leg, block, in: arena, scratch: scratch[thread])
                    }
                    let pixels = always ?? rows.pixels(fromImage: block * kernels.lanesCount)
                    let place = (block - first) * blockRows
                    let lanes = Lanes(count: kernels.lanesCount, present: images.present(block), stride: stride)
                    for (tap, read) in (alwaysRead ?? rows.read(at: pixels)).enumerated() {
                        lanes.copy(
                            source.channels, read, arenas[thread][0].base, to: x.base + tap * stride + place,
                            every: rows.taps)
                    }
                    guard let wanted = source.targets else { continue }
                    lanes.copy(wanted.channels, pixels, arenas[thread][1].base, to: t.base + place)
                    if !source.lessen.isEmpty {
                        lanes.subtract(source.lessen, pixels, arenas[thread][0].base, from: t.base + place)
                    }
                }
            }
            let count = blocks.reduce(0) { $0 + rows.pixels * images.present($1) }
            var (input, target) = (0, 0)
            for group in equations.indices {
                let batch = RowBatch(
                    x: x.base + input * stride, t: t.base + target * stride, stride: stride, rows: count)
                input += equations[group].inputs
                target += equations[group].targets
                try equations[group].add(batch, threads: self.threads)
            }
        }
        for (walk, leg) in zip(walks, legs) { walk.finish(leg) }
    }
}

/// Moves the images of a vector from an arena to rows.
private struct Lanes {
    let count: Int
    /// Images that are there.
    let present: Int
    /// Floats from one column of rows to the next.
    let stride: Int

    /// Writes some pixels of each channel to every `step`-th column: zeros for an absent channel, and for pixels
    /// outside.
    func copy(
        _ channels: [Int32], _ pixels: [Int], _ arena: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>,
        every step: Int = 1
    ) {
        for (place, line) in channels.enumerated() {
            var row = target + place * step * stride
            for pixel in pixels {
                if line < 0 || pixel < 0 {
                    row.update(repeating: 0, count: present)
                } else {
                    row.update(from: arena + (Int(line) + pixel) * count, count: present)
                }
                row += present
            }
        }
    }

    /// Takes some of the present pixels of each channel.
    func subtract(
        _ channels: [Int32], _ pixels: [Int], _ arena: UnsafePointer<Float>, from target: UnsafeMutablePointer<Float>
    ) {
        for (place, line) in channels.enumerated() where line >= 0 {
            var row = target + place * stride
            for pixel in pixels {
                let values = arena + (Int(line) + pixel) * count
                for image in 0..<present { row[image] -= values[image] }
                row += present
            }
        }
    }
}
