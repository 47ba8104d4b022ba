import Shared

/// The rows of a layer's equations: the layer's inputs for some images at some pixels of its output, and its targets
/// there.
struct LayerRows {
    /// Up to this many multiply-adds, a second or so of one thread, a layer's equations take in every pixel. Beyond that
    /// they take some, drawn for every few images,
    private static let multiplyAddsMax = 1 << 35
    /// but at least this many rows per input. Fewer leave the fit to chance.
    private static let rowsPerInput = 32
    /// Images that share the drawn pixels: no instruction set has more in a vector.
    private static let imagesPerDraw = 16

    /// How the layer reads its input: a linear layer as a convolution of a single pixel.
    let convolution: Graph.Operation.Convolution
    let input: Shape
    let output: Shape
    /// Distinguishes this layer's draws from others'.
    let layer: Int
    /// Pixels taken per image.
    let pixels: Int

    /// Decides how many pixels to take of each of `images` if every group of filters reads `inputs` values.
    init(of layer: Int, in graph: Graph, inputs: Int, images: Int) {
        let node = graph.nodes[layer]
        switch node.operation {
        case .convolution(let convolution): self.convolution = convolution
        default: convolution = Graph.Operation.Convolution(filters: node.shape.channels, kernel: .one)
        }
        self.layer = layer
        input = graph.inputShape(of: node)
        output = node.shape
        let work = Double(convolution.groups) * Double(inputs) * Double(inputs)
        let rows = max(Double(Self.multiplyAddsMax) / max(work, 1), Double(Self.rowsPerInput * inputs))
        let share = (rows / Double(max(images, 1))).rounded(.up)
        pixels = share < Double(output.pixels) ? max(1, Int(share)) : output.pixels
    }

    /// A filter's window in one channel.
    var taps: Int { convolution.kernel.height * convolution.kernel.width }

    /// The pixels of the output to use for some images, ascending.
    func pixels(fromImage first: Int) -> [Int] {
        var all = Array(0..<output.pixels)
        guard pixels < all.count else { return all }
        var generator = RandomGenerator(
            key: [0x7069_7865_6c73, UInt64(layer), UInt64(first / Self.imagesPerDraw)])
        for place in 0..<pixels { all.swapAt(place, place + generator.below(all.count - place)) }
        return all.prefix(pixels).sorted()
    }

    /// For every tap the pixel of the input under each of some pixels of the output, or -1 outside.
    func read(at pixels: [Int]) -> [[Int]] {
        (0..<taps).map { tap in
            let down = tap / convolution.kernel.width * convolution.dilation.height - convolution.padding.top
            let right = tap % convolution.kernel.width * convolution.dilation.width - convolution.padding.left
            return pixels.map { pixel in
                let row = pixel / output.width * convolution.stride.height + down
                let column = pixel % output.width * convolution.stride.width + right
                guard (0..<input.height).contains(row), (0..<input.width).contains(column) else { return -1 }
                return row * input.width + column
            }
        }
    }
}
