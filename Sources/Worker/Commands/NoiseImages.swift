import Shared

extension ImageSet {
    /// Noise images for a network, to measure speed.
    static func noise(_ count: Int, for graph: Graph, seed: UInt64) -> ImageSet {
        var random = SplitMix64(seed: seed)
        let layout = ImageLayout(shape: graph.imageShape, classes: graph.classes)
        return ImageSet(layout, split: .test, count: count) { labels, pixels in
            for image in labels.indices { labels[image] = Int32(random.next() % UInt64(layout.classes)) }
            for index in pixels.indices { pixels[index] = UInt8(truncatingIfNeeded: random.next()) }
        }
    }
}
