/// A textured figure: one of ten kinds, five outlines with two textures each. All arithmetic is on integers.
struct Figure {
    /// The outlines.
    enum Outline: Int, CaseIterable {
        case disc, square, triangle, ring, cross
    }

    /// The textures.
    enum Texture: Int, CaseIterable {
        case stripes, checks
    }

    /// A point or length on the image, in 1/256 of a pixel.
    typealias Length = Int

    /// A red, green and blue of 0…255.
    typealias Colour = SIMD3<Int32>

    let outline: Outline
    let texture: Texture
    var centre: (x: Length, y: Length)
    /// Half the figure's size.
    var radius: Length
    /// Cosine and sine of the figure's turn, in 1/2^14.
    var turn: (cosine: Int, sine: Int)
    /// Width of a stripe or of a check.
    var period: Length
    /// Where the texture starts.
    var phase: (Length, Length)
    /// The texture's two colours.
    var colours: (Colour, Colour)

    /// How many kinds there are.
    static let kinds = Outline.allCases.count * Texture.allCases.count

    /// A random figure of a kind.
    init(kind: Int, radii: ClosedRange<Length>, contrast: ClosedRange<Int>, using random: inout RandomSource) {
        precondition((0..<Self.kinds).contains(kind), "ten kinds")
        outline = Outline.allCases[kind / 2]
        texture = Texture.allCases[kind % 2]
        radius = random.integer(in: radii)
        let margin = min(radius * 3 / 4, 16 * 256)
        centre = (
            random.integer(in: margin...32 * 256 - margin), random.integer(in: margin...32 * 256 - margin)
        )
        turn = Self.turn(using: &random)
        period = random.integer(in: 400...720)
        phase = (random.integer(in: 0...1023), random.integer(in: 0...1023))
        colours = Self.colours(contrast: contrast, using: &random)
    }

    /// The colour at a point, or nil outside of the figure.
    func colour(x: Length, y: Length) -> Colour? {
        let along = ((x - centre.x) * turn.cosine + (y - centre.y) * turn.sine) >> 14
        let across = ((y - centre.y) * turn.cosine - (x - centre.x) * turn.sine) >> 14
        guard covers(u: along * 1024 / radius, v: across * 1024 / radius) else { return nil }
        let column = Self.floorDivide(along + phase.0, period)
        let row = texture == .checks ? Self.floorDivide(across + phase.1, period) : 0
        return (column + row) & 1 == 0 ? colours.0 : colours.1
    }

    /// Whether a point is inside, in 1/1024 of the radius.
    private func covers(u: Int, v: Int) -> Bool {
        let square = u * u + v * v
        switch outline {
        case .disc: return square < 900 * 900
        case .square: return abs(u) < 800 && abs(v) < 800
        case .triangle: return v < 600 && 5 * abs(u) < 3 * (v + 1020)
        case .ring: return square < 980 * 980 && square > 500 * 500
        case .cross: return min(abs(u), abs(v)) < 330 && max(abs(u), abs(v)) < 1000
        }
    }

    /// A random angle. Points of the unit circle with rational coordinates need no sine: ((1-t²)/(1+t²), 2t/(1+t²)) for
    /// t in -1…1 is its right half.
    private static func turn(using random: inout RandomSource) -> (cosine: Int, sine: Int) {
        let t = random.integer(in: -256...256)
        let denominator = 65_536 + t * t
        let turn = (cosine: (65_536 - t * t) * 16_384 / denominator, sine: 512 * t * 16_384 / denominator)
        return random.once(in: 2) ? turn : (-turn.cosine, -turn.sine)
    }

    /// Two random colours that differ by about `contrast` in brightness.
    private static func colours(
        contrast: ClosedRange<Int>, using random: inout RandomSource
    ) -> (Colour, Colour) {
        let difference = random.integer(in: contrast)
        var first = Colour()
        var second = Colour()
        for channel in 0..<3 {
            let middle = random.integer(in: 50...205)
            let half = difference / 2 + random.integer(in: -12...12)
            first[channel] = Int32(middle + half)
            second[channel] = Int32(middle - half)
        }
        return (first, second)
    }

    private static func floorDivide(_ a: Int, _ b: Int) -> Int { a >= 0 ? a / b : -((b - 1 - a) / b) }
}
