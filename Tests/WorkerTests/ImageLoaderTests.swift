import Shared
import Testing

@testable import Worker

@Suite struct ImageLoaderTests {
    private func load(_ loader: ImageLoader, _ distortion: ImageLoader.Distortion, channelsLast: Bool) -> [Float] {
        let buffer = AlignedBuffer(count: CIFAR10.layout.imageBytes)
        loader.write(0, distortion, channelsLast: channelsLast, to: buffer.pointer)
        return buffer.values
    }

    @Test func bothOrdersHoldTheSameNormalisedPixels() {
        let images = TrainingFixtures.images(1, seed: 4)
        let loader = ImageLoader(images, .standard)
        let flat = load(loader, .init(), channelsLast: false)
        let interleaved = load(loader, .init(), channelsLast: true)
        let expected = TrainingFixtures.pixels(images, 0)
        for channel in 0..<3 {
            for pixel in 0..<1024 {
                #expect(abs(Double(flat[channel * 1024 + pixel]) - expected[channel][pixel]) < 1e-5)
                #expect(flat[channel * 1024 + pixel] == interleaved[pixel * 3 + channel])
            }
        }
    }

    @Test func aShiftedImageIsBlackWhereItWasCutAndAMirroredOneReadsBackwards() {
        let images = TrainingFixtures.images(1, seed: 4)
        let loader = ImageLoader(images, .standard)
        let plain = load(loader, .init(), channelsLast: false)
        var distortion = ImageLoader.Distortion()
        distortion.rowShift = -4
        distortion.columnShift = 3
        let shifted = load(loader, distortion, channelsLast: false)
        distortion.mirrored = true
        let mirrored = load(loader, distortion, channelsLast: false)
        let black = (0 - Normalisation.standard.mean[0]) / Normalisation.standard.deviation[0]
        for row in 0..<32 {
            for column in 0..<32 {
                let inside = row >= 4 && column < 29
                let expected = inside ? plain[(row - 4) * 32 + column + 3] : black
                #expect(shifted[row * 32 + column] == expected)
                #expect(mirrored[row * 32 + 31 - column] == expected)
            }
        }
    }

    @Test func cutoutHidesASquareAndNothingElseChanges() {
        let images = TrainingFixtures.images(1, seed: 4)
        let loader = ImageLoader(images, .standard, cutout: 8)
        for epoch in 0..<50 {
            var distortion = loader.distortion(seed: 7, epoch: epoch, image: 0)
            let (rows, columns) = (distortion.hiddenRows, distortion.hiddenColumns)
            #expect(rows.count == 8 && columns.count == 8)
            #expect((0..<32).contains(rows.lowerBound + 4) && (0..<32).contains(columns.lowerBound + 4))
            for channelsLast in [false, true] {
                distortion.hiddenRows = rows
                distortion.hiddenColumns = columns
                let hidden = load(loader, distortion, channelsLast: channelsLast)
                distortion.hiddenRows = 0..<0
                #expect(
                    distortion.rowShift
                        == ImageLoader.Distortion(seed: 7, epoch: epoch, image: 0, of: CIFAR10.layout.shape).rowShift)
                let whole = load(loader, distortion, channelsLast: channelsLast)
                for position in 0..<3 * 1024 {
                    let pixel = channelsLast ? position / 3 : position % 1024
                    let isHidden = rows.contains(pixel / 32) && columns.contains(pixel % 32)
                    #expect(hidden[position] == (isHidden ? 0 : whole[position]))
                }
            }
        }
        let drawn = (0..<2000).map { loader.distortion(seed: 1, epoch: 0, image: $0) }
        #expect(Set(drawn.map { $0.hiddenRows.lowerBound + 4 }) == Set(0..<32))
        #expect(Set(drawn.map { $0.hiddenColumns.lowerBound + 4 }) == Set(0..<32))
    }

    @Test func distortionsDependOnSeedEpochAndImageAndTakeEveryValue() {
        typealias Distortion = ImageLoader.Distortion
        let shape = CIFAR10.layout.shape
        #expect(
            Distortion(seed: 1, epoch: 2, image: 3, of: shape) == Distortion(seed: 1, epoch: 2, image: 3, of: shape))
        let drawn = (0..<2000).map { Distortion(seed: 1, epoch: 0, image: $0, of: shape) }
        #expect(Set(drawn.map(\.rowShift)) == Set(-4...4))
        #expect(Set(drawn.map(\.columnShift)) == Set(-4...4))
        let mirrored = drawn.count { $0.mirrored }
        #expect((900...1100).contains(mirrored))
        #expect(drawn != (0..<2000).map { Distortion(seed: 1, epoch: 1, image: $0, of: shape) })
        #expect(drawn != (0..<2000).map { Distortion(seed: 2, epoch: 0, image: $0, of: shape) })
    }
}
