import Shared

/// Turns images into a network's inputs, augmented for training: cropped at random from the image with a few black
/// pixels around it, and mirrored half of the time (He et al. 2016, section 4.2). A square around a random pixel may
/// also be hidden, that is, set to the mean colour (DeVries and Taylor 2017, "Improved regularization of convolutional
/// neural networks with cutout").
struct ImageLoader: Sendable {
    private let images: ImageSet
    private let cutout: Int
    private let mirrors: Bool
    /// The input for each of the 256 values of a channel; empty if pixels are inputs already.
    private let values: [Float]

    /// `cutout` is the side of the square to hide in augmented images, half of which are mirrored if that keeps their
    /// class.
    init(_ images: ImageSet, _ normalisation: Normalisation, cutout: Int = 0, mirrors: Bool = true) {
        self.images = images
        self.cutout = cutout
        self.mirrors = mirrors
        let hasBytes = images.layout.pixelType == .uint8
        values = (0..<(hasBytes ? images.layout.shape.channels : 0)).flatMap { channel in
            (0...255).map { (Float($0) / 255 - normalisation.mean[channel]) / normalisation.deviation[channel] }
        }
    }

    /// How one image is distorted.
    struct Distortion: Equatable {
        var rowShift = 0
        var columnShift = 0
        var mirrored = false
        /// Output rows and columns that are hidden where they cross.
        var hiddenRows = 0..<0
        var hiddenColumns = 0..<0

        /// No distortion.
        init() {}

        /// A function of its arguments. `cutout` is the side of the hidden square, which may be partly outside.
        init(seed: UInt64, epoch: Int, image: Int, of shape: Shape, cutout: Int = 0) {
            var random = SplitMix64(seed: seed, epoch, image)
            let padding = Self.padding(shape)
            rowShift = Int.random(in: -padding...padding, using: &random)
            columnShift = Int.random(in: -padding...padding, using: &random)
            mirrored = Bool.random(using: &random)
            if cutout > 0 {
                let row = Int.random(in: 0..<shape.height, using: &random) - cutout / 2
                let column = Int.random(in: 0..<shape.width, using: &random) - cutout / 2
                hiddenRows = row..<row + cutout
                hiddenColumns = column..<column + cutout
            }
        }

        /// Black pixels on every side before the crop: an eighth of the image, 4 at 32 × 32.
        static func padding(_ shape: Shape) -> Int { max(shape.height, shape.width) / 8 }
    }

    /// Writes one image, `[row, column, channel]` if `channelsLast`, otherwise `[channel, row, column]`.
    func write(_ image: Int, _ distortion: Distortion, channelsLast: Bool, to target: UnsafeMutablePointer<Float>) {
        images.withPixels { raw in
            switch images.layout.pixelType {
            case .uint8:
                write(raw.bindMemory(to: UInt8.self), image, distortion, channelsLast, black: 0, to: target) {
                    values[$0 * 256 + Int($1)]
                }
            case .float32:
                write(raw.bindMemory(to: Float.self), image, distortion, channelsLast, black: 0, to: target) { $1 }
            }
        }
    }

    @inline(__always)
    private func write<Pixel>(
        _ pixels: UnsafeBufferPointer<Pixel>, _ image: Int, _ distortion: Distortion, _ channelsLast: Bool,
        black: Pixel, to target: UnsafeMutablePointer<Float>, input: (_ channel: Int, _ pixel: Pixel) -> Float
    ) {
        let shape = images.layout.shape
        let (height, width) = (shape.height, shape.width)
        let pixelStride = channelsLast ? shape.channels : 1
        let channelStride = channelsLast ? 1 : shape.pixels
        for channel in 0..<shape.channels {
            let source = image * shape.count + channel * shape.pixels
            for row in 0..<height {
                let from = row + distortion.rowShift
                var position = channel * channelStride + row * width * pixelStride
                for column in 0..<width {
                    let along = (distortion.mirrored ? width - 1 - column : column) + distortion.columnShift
                    defer { position += pixelStride }
                    if distortion.hiddenRows.contains(row), distortion.hiddenColumns.contains(column) {
                        target[position] = 0
                        continue
                    }
                    let isInside = (0..<height).contains(from) && (0..<width).contains(along)
                    target[position] = input(channel, isInside ? pixels[source + from * width + along] : black)
                }
            }
        }
    }

    /// How an image is distorted in an epoch.
    func distortion(seed: UInt64, epoch: Int, image: Int) -> Distortion {
        var distortion = Distortion(seed: seed, epoch: epoch, image: image, of: images.layout.shape, cutout: cutout)
        if !mirrors { distortion.mirrored = false }
        return distortion
    }

    func label(_ image: Int) -> Int { images.label(image) }

    /// The number of images.
    var count: Int { images.count }
    /// A network's inputs per image.
    var valueCount: Int { images.layout.shape.count }
}
