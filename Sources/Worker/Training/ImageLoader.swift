import Shared

/// Turns records into a network's inputs, distorted as training wants it: cut out at random from the image with four
/// black pixels around it, and mirrored half of the time (He et al. 2016, section 4.2). A square around a random pixel
/// may be hidden as well, that is, set to the mean colour (DeVries and Taylor 2017, "Improved regularization of
/// convolutional neural networks with cutout").
struct ImageLoader: Sendable {
    /// Black pixels on every side before the crop.
    static let padding = 4

    private let images: ImageSet
    private let cutout: Int
    /// What each of the 256 values of a channel becomes.
    private let values: [Float]

    /// `cutout` is the side of the square that is hidden in distorted images.
    init(_ images: ImageSet, _ normalisation: Normalisation, cutout: Int = 0) {
        self.images = images
        self.cutout = cutout
        values = (0..<ImageSet.channels).flatMap { channel in
            (0...255).map { (Float($0) / 255 - normalisation.mean[channel]) / normalisation.deviation[channel] }
        }
    }

    /// How one image is distorted.
    struct Distortion: Equatable {
        var rowShift = 0
        var columnShift = 0
        var mirrored = false
        /// Rows and columns of what is written that are hidden where they cross.
        var hiddenRows = 0..<0
        var hiddenColumns = 0..<0

        /// No distortion.
        init() {}

        /// A function of its arguments. `cutout` is the side of the hidden square, which may lie partly outside.
        init(seed: UInt64, epoch: Int, image: Int, cutout: Int = 0) {
            var random = SplitMix64(seed: seed, epoch, image)
            rowShift = Int.random(in: -padding...padding, using: &random)
            columnShift = Int.random(in: -padding...padding, using: &random)
            mirrored = Bool.random(using: &random)
            if cutout > 0 {
                let row = Int.random(in: 0..<ImageSet.size, using: &random) - cutout / 2
                let column = Int.random(in: 0..<ImageSet.size, using: &random) - cutout / 2
                hiddenRows = row..<row + cutout
                hiddenColumns = column..<column + cutout
            }
        }
    }

    /// Writes one image, `[row, column, channel]` if `channelsLast`, otherwise `[channel, row, column]`.
    func write(_ image: Int, _ distortion: Distortion, channelsLast: Bool, to target: UnsafeMutablePointer<Float>) {
        let size = ImageSet.size
        let pixelStride = channelsLast ? ImageSet.channels : 1
        let channelStride = channelsLast ? 1 : size * size
        images.records.withUnsafeBufferPointer { records in
            let pixels = image * ImageSet.recordBytes + 1
            for channel in 0..<ImageSet.channels {
                let table = channel * 256
                for row in 0..<size {
                    let from = row + distortion.rowShift
                    var position = channel * channelStride + row * size * pixelStride
                    for column in 0..<size {
                        let along = (distortion.mirrored ? size - 1 - column : column) + distortion.columnShift
                        defer { position += pixelStride }
                        if distortion.hiddenRows.contains(row), distortion.hiddenColumns.contains(column) {
                            target[position] = 0
                            continue
                        }
                        let inside = (0..<size).contains(from) && (0..<size).contains(along)
                        let value = inside ? records[pixels + (channel * size + from) * size + along] : 0
                        target[position] = values[table + Int(value)]
                    }
                }
            }
        }
    }

    /// How an image is distorted in an epoch.
    func distortion(seed: UInt64, epoch: Int, image: Int) -> Distortion {
        Distortion(seed: seed, epoch: epoch, image: image, cutout: cutout)
    }

    func label(_ image: Int) -> Int { Int(images.label(image)) }

    /// The number of images.
    var count: Int { images.count }
}
