import Shared

extension ImageSet {
    /// Images of noise.
    public static func random(
        _ count: Int, layout: ImageLayout = CIFAR10.layout, split: EvaluationSettings.Split = .test,
        using generator: inout some RandomNumberGenerator
    ) -> ImageSet {
        ImageSet(layout, split: split, count: count) { labels, pixels in
            for image in 0..<count {
                labels[image] = Int32(UInt8.random(in: 0..<UInt8(min(layout.classes, 255)), using: &generator))
                let values = image * layout.shape.count..<(image + 1) * layout.shape.count
                switch layout.pixelType {
                case .uint8: for value in values { pixels[value] = UInt8.random(in: 0...255, using: &generator) }
                case .float32:
                    let floats = pixels.bindMemory(to: Float.self)
                    for value in values { floats[value] = Float.random(in: -2...2, using: &generator) }
                }
            }
        }
    }

    /// An image as a network's input, `[channel, row, column]`.
    public func input(_ image: Int, _ normalisation: Normalisation) -> [Double] {
        switch layout.pixelType {
        case .uint8:
            pixels(image).enumerated().map { index, pixel in
                let channel = index / layout.shape.pixels
                return (Double(pixel) / 255 - Double(normalisation.mean[channel]))
                    / Double(normalisation.deviation[channel])
            }
        case .float32:
            Array(pixels(image)).withUnsafeBytes { raw in
                stride(from: 0, to: raw.count, by: 4).map {
                    Double(raw.loadUnaligned(fromByteOffset: $0, as: Float.self))
                }
            }
        }
    }
}
