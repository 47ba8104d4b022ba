import CKernels
import Shared

/// The first images of a set in blocks of one image per vector lane. Pixels stay in the set and are put into the
/// kernels' order, `[channel, row, column, lane]`, whenever a block is loaded.
final class PreparedImages: Sendable {
    /// The set.
    let source: ImageSet
    /// The number of images used.
    let count: Int
    let lanes: Int
    /// Blocks; the last one's missing images are black.
    let blocks: Int

    /// Uses the first `count` images of a set.
    init(_ source: ImageSet, count: Int, lanes: Int) {
        precondition(count <= source.count, "there are not that many images")
        self.source = source
        self.count = count
        self.lanes = lanes
        blocks = (count + lanes - 1) / lanes
    }

    /// Puts a schedule's block of images into an arena.
    func load(
        _ block: Int, _ normalisation: Normalisation, _ kernels: winnow_kernels, for schedule: Schedule, to arena: Arena
    ) {
        let shape = source.layout.shape
        let isVectorOnly = schedule.stages.isVectorOnly
        for group in 0..<schedule.groups {
            let index = block * schedule.groups + group
            guard index < blocks else { break }
            for channel in 0..<shape.channels {
                // If everything is a vector, every pixel is a channel, and groups are side by side in it.
                let first = isVectorOnly ? channel * shape.pixels : channel
                load(
                    index, channel: channel, normalisation, kernels,
                    to: arena.base + (Int(schedule.imageLines[first]) + group) * lanes,
                    stride: (isVectorOnly ? schedule.groups : 1) * lanes)
            }
        }
    }

    /// Writes one channel of a block as a network's input, the pixels' lanes `stride` floats apart.
    private func load(
        _ block: Int, channel: Int, _ normalisation: Normalisation, _ kernels: winnow_kernels,
        to target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let shape = source.layout.shape
        let first = block * lanes * shape.count + channel * shape.pixels
        let images = Int32(present(block))
        source.withPixels { raw in
            switch source.layout.pixelType {
            case .uint8:
                guard let pixels = raw.bindMemory(to: UInt8.self).baseAddress else { return }
                let deviation = Double(normalisation.deviation[channel])
                kernels.prepare(
                    pixels + first, shape.count, images, Int32(shape.pixels), Float(1 / (255 * deviation)),
                    Float(-Double(normalisation.mean[channel]) / deviation), target, stride)
            case .float32:
                guard let pixels = raw.bindMemory(to: Float.self).baseAddress else { return }
                kernels.prepare_floats(pixels + first, shape.count, images, Int32(shape.pixels), target, stride)
            }
        }
    }

    /// Calls `body` with the labels of a block's images, of which there are ``present(_:)``.
    func withLabels<Result>(_ block: Int, _ body: (UnsafePointer<Int32>) -> Result) -> Result {
        source.withLabels { labels in
            guard let base = labels.baseAddress else { preconditionFailure("a block has images") }
            return body(base + block * lanes)
        }
    }

    /// Images in a block; 0 past the last block.
    func present(_ block: Int) -> Int { max(0, min(lanes, count - block * lanes)) }
}
