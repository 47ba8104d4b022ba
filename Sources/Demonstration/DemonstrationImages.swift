import Shared

/// Synthetic images for a first try, the same bytes on every machine: a textured figure of one of ten kinds (disc,
/// square, triangle, ring or cross; striped or checked) at any place, size and angle, on a background of two colours,
/// with smaller figures of other kinds, objects in front of it, and noise. Hard enough that a small network errs now
/// and then.
public struct DemonstrationImages: Sendable {
    /// Decides all images.
    let seed: UInt64

    /// Images of a seed.
    public init(seed: UInt64) { self.seed = seed }

    /// Image `index` of a split as one record: the label, then the pixels. Labels alternate, so every prefix is
    /// balanced.
    public func record(_ split: EvaluationSettings.Split, _ index: Int) -> [UInt8] {
        let stream = UInt64(index) << 1 | (split == .test ? 1 : 0)
        var random = RandomSource(seed: seed, stream: stream)
        let label = index % CIFAR10.layout.classes
        let scene = Scene(kind: label, using: &random)
        return [UInt8(label)] + scene.pixels(using: &random)
    }
}

/// What one image shows.
private struct Scene {
    /// Samples along each side of a pixel.
    private static let samples = 2

    /// From back to front; the first is the image's subject.
    private var figures: [Figure]
    private var background: (Figure.Colour, Figure.Colour)
    /// The direction in which the background changes from one colour to the other, in 1/32 per pixel.
    private var slope: (x: Int, y: Int)
    /// Rectangles in front of everything: left, top, width and height in pixels, and colour.
    private var occluders: [(x: Int, y: Int, width: Int, height: Int, colour: Figure.Colour)] = []
    private var noise: Int

    init(kind: Int, using random: inout RandomSource) {
        func colour(_ random: inout RandomSource) -> Figure.Colour {
            Figure.Colour(
                Int32(random.integer(in: 20...235)), Int32(random.integer(in: 20...235)),
                Int32(random.integer(in: 20...235)))
        }
        background = (colour(&random), colour(&random))
        slope = (random.integer(in: -1...1), random.integer(in: -1...1))
        figures = [
            Figure(kind: kind, radii: 7 * 256...13 * 256, contrast: 36...130, using: &random)
        ]
        for _ in 0..<random.integer(in: 0...2) {
            let other = (kind + random.integer(in: 1...Figure.kinds - 1)) % Figure.kinds
            figures.append(Figure(kind: other, radii: 3 * 256...5 * 256, contrast: 36...130, using: &random))
        }
        for _ in 0..<random.integer(in: 0...2) {
            occluders.append(
                (
                    random.integer(in: 0...28), random.integer(in: 0...28), random.integer(in: 2...10),
                    random.integer(in: 2...10), colour(&random)
                ))
        }
        noise = random.integer(in: 8...44)
    }

    /// The pixels, `[channel, row, column]`.
    func pixels(using random: inout RandomSource) -> [UInt8] {
        let size = CIFAR10.layout.shape.height
        var pixels = [UInt8](repeating: 0, count: CIFAR10.layout.imageBytes)
        for row in 0..<size {
            for column in 0..<size {
                let colour = colour(row: row, column: column)
                for channel in 0..<CIFAR10.layout.shape.channels {
                    let noise = random.integer(in: -noise...noise) + random.integer(in: -noise...noise)
                    pixels[(channel * size + row) * size + column] = UInt8(
                        clamping: Int(colour[channel]) + noise / 2)
                }
            }
        }
        return pixels
    }

    /// The mean colour of a pixel's samples.
    private func colour(row: Int, column: Int) -> Figure.Colour {
        if let front = occluders.last(where: { rectangle in
            (rectangle.x..<rectangle.x + rectangle.width).contains(column)
                && (rectangle.y..<rectangle.y + rectangle.height).contains(row)
        }) {
            return front.colour
        }
        let behind = backgroundColour(row: row, column: column)
        var sum = Figure.Colour()
        for sample in 0..<Self.samples * Self.samples {
            let x = column * 256 + 64 + 128 * (sample % Self.samples)
            let y = row * 256 + 64 + 128 * (sample / Self.samples)
            var colour = behind
            for figure in figures.reversed() {
                if let own = figure.colour(x: x, y: y) {
                    colour = own
                    break
                }
            }
            sum = sum &+ colour
        }
        return sum / Int32(Self.samples * Self.samples)
    }

    private func backgroundColour(row: Int, column: Int) -> Figure.Colour {
        let share = Int32(min(max(16 + slope.x * (column - 16) + slope.y * (row - 16), 0), 32))
        return (background.0 &* share &+ background.1 &* (32 - share)) / 32
    }
}
