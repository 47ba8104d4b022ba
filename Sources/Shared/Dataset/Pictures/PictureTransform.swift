/// How pictures of any size are transformed: torchvision's `Resize(shorter side)`, then `CenterCrop`.
struct PictureTransform {
    /// The length of the shorter side; nil not to scale.
    let resize: Int?
    /// Height and width of the crop; nil for all.
    let crop: Int?

    /// Height and width of a picture after scaling.
    func scaled(height: Int, width: Int) -> (height: Int, width: Int) {
        guard let resize else { return (height, width) }
        return height < width
            ? (resize, max(1, resize * width / height)) : (max(1, resize * height / width), resize)
    }

    /// Height and width of the result.
    func size(height: Int, width: Int) -> (height: Int, width: Int) {
        crop.map { ($0, $0) } ?? scaled(height: height, width: width)
    }

    /// Writes the result as `[channel, row, column]`. If the crop is larger than the picture, the rest is black.
    func apply(_ picture: borrowing Picture, to target: UnsafeMutablePointer<UInt8>) {
        let scaled = scaled(height: picture.height, width: picture.width)
        let size = size(height: picture.height, width: picture.width)
        let rows = Window(scaled.height, size.height)
        let columns = Window(scaled.width, size.width)
        if rows.taken.count < size.height || columns.taken.count < size.width {
            target.update(repeating: 0, count: 3 * size.height * size.width)
        }
        let place = target + rows.offset * size.width + columns.offset
        let isScaled = scaled != (picture.height, picture.width)
        if isScaled {
            scale(
                picture, to: scaled, rows.taken, columns.taken, place, rowStride: size.width, size.height * size.width)
        } else {
            copy(picture, rows.taken, columns.taken, place, rowStride: size.width, size.height * size.width)
        }
    }

    /// The part of one axis to take, and where to put it.
    private struct Window {
        let taken: Range<Int>
        let offset: Int

        init(_ source: Int, _ target: Int) {
            if target > source {
                taken = 0..<source
                offset = (target - source) / 2
            } else {
                // As Python's round does, halves go to the even number.
                let start = Int((Double(source - target) / 2).rounded(.toNearestOrEven))
                taken = start..<start + target
                offset = 0
            }
        }
    }

    private func copy(
        _ picture: borrowing Picture, _ rows: Range<Int>, _ columns: Range<Int>, _ target: UnsafeMutablePointer<UInt8>,
        rowStride: Int, _ channelStride: Int
    ) {
        for (row, source) in rows.enumerated() {
            for channel in 0..<3 {
                let from = picture.rgb + (source * picture.width + columns.lowerBound) * 3 + channel
                let to = target + channel * channelStride + row * rowStride
                for column in 0..<columns.count { to[column] = from[3 * column] }
            }
        }
    }

    /// Columns first, then rows, each rounded to bytes.
    private func scale(
        _ picture: borrowing Picture, to size: (height: Int, width: Int), _ rows: Range<Int>, _ columns: Range<Int>,
        _ target: UnsafeMutablePointer<UInt8>, rowStride: Int, _ channelStride: Int
    ) {
        let across = Resampling(source: picture.width, target: size.width, range: columns)
        let down = Resampling(source: picture.height, target: size.height, range: rows)
        let read = down.sourceRange
        let middle = Picture(width: columns.count, height: read.count)
        let half = Int32(1) << Int32(Resampling.weightBits - 1)
        for (row, source) in read.enumerated() {
            let line = picture.rgb + source * picture.width * 3
            var to = middle.rgb + row * columns.count * 3
            for column in 0..<columns.count {
                var (red, green, blue) = (half, half, half)
                var from = line + across.starts[column] * 3
                for tap in 0..<across.counts[column] {
                    let weight = across.weights[column * across.most + tap]
                    red &+= weight &* Int32(from[0])
                    green &+= weight &* Int32(from[1])
                    blue &+= weight &* Int32(from[2])
                    from += 3
                }
                to[0] = Self.byte(red)
                to[1] = Self.byte(green)
                to[2] = Self.byte(blue)
                to += 3
            }
        }
        let line = columns.count * 3
        var sums = [Int32](repeating: 0, count: line)
        for row in 0..<rows.count {
            for index in 0..<line { sums[index] = half }
            for tap in 0..<down.counts[row] {
                let weight = down.weights[row * down.most + tap]
                let from = middle.rgb + (down.starts[row] - read.lowerBound + tap) * line
                for index in 0..<line { sums[index] &+= weight &* Int32(from[index]) }
            }
            for channel in 0..<3 {
                let to = target + channel * channelStride + row * rowStride
                for column in 0..<columns.count { to[column] = Self.byte(sums[3 * column + channel]) }
            }
        }
    }

    private static func byte(_ sum: Int32) -> UInt8 {
        UInt8(truncatingIfNeeded: min(max(sum >> Int32(Resampling.weightBits), 0), 255))
    }
}
