import Foundation
import TestSupport
import Testing

@testable import Shared

@Suite struct PictureTests {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/pictures").path

    private func picture(_ name: String) throws -> (height: Int, width: Int, rgb: [UInt8]) {
        let picture = try Picture(at: "\(Self.fixtures)/\(name)")
        let bytes = Array(UnsafeBufferPointer(start: picture.rgb, count: picture.width * picture.height * 3))
        return (picture.height, picture.width, bytes)
    }

    /// The fixtures' content: 2 rows of 3 pixels.
    private let colours: [UInt8] = [0, 100, 250, 10, 100, 210, 20, 100, 170, 30, 100, 250, 40, 100, 210, 50, 100, 170]
    private let greys: [UInt8] = [87, 86, 84, 96, 95, 93].flatMap { [UInt8](repeating: $0, count: 3) }

    @Test(arguments: ["colour.png", "palette.png", "alpha.png", "colour.webp", "alpha.webp"])
    func coloursAreThoseThatPillowSees(_ name: String) throws {
        let found = try picture(name)
        #expect((found.height, found.width) == (2, 3))
        #expect(found.rgb == colours)
    }

    @Test func greyPicturesBecomeColouredOnes() throws { #expect(try picture("grey.png").rgb == greys) }

    @Test func aJPEGIsDecoded() throws {
        for (name, expected) in [("colour.jpg", colours), ("grey.jpg", greys)] {
            let found = try picture(name)
            #expect((found.height, found.width) == (16, 24))
            // Every pixel of the fixture is a square of 8 × 8.
            for (index, value) in expected.enumerated() {
                let (pixel, channel) = index.quotientAndRemainder(dividingBy: 3)
                let place = (pixel / 3 * 8 + 4) * 24 + pixel % 3 * 8 + 4
                #expect(abs(Int(found.rgb[place * 3 + channel]) - Int(value)) <= 2)
            }
        }
    }

    @Test(arguments: [
        ("sixteen-bits.png", "16 bits"), ("cmyk.jpg", "CMYK"), ("animated.png", "animated"),
        ("animated.webp", "animated"), ("cut.png", "cut short"), ("cut.jpg", "end of"), ("cut.webp", "cut short"),
    ])
    func whatIsWrongWithAPictureIsSaid(_ name: String, _ reason: String) {
        let error = #expect(throws: Failure.self) { _ = try Picture(at: "\(Self.fixtures)/\(name)") }
        #expect(error?.kind == .badInput)
        #expect(error?.description.lowercased().contains(reason.lowercased()) == true)
    }

    /// A folder of classes, each with the fixtures that are named.
    private func folder(_ files: [(place: String, fixture: String)]) throws -> ImageFolder {
        let folder = try ImageFolder()
        for (place, fixture) in files {
            let bytes = try InputFile.bytes(at: "\(Self.fixtures)/\(fixture)", bytesMax: 1 << 20)
            try folder.write(bytes, "\(place)/\(fixture)")
        }
        return folder
    }

    @Test func aFolderOfClassesIsOfEitherSplitAndKnowsItsClassesByTheirOrder() throws {
        let folder = try folder([("b", "colour.png"), ("a", "grey.png"), ("a/deep", "colour.webp"), ("c", "alpha.png")])
        let data = try ImageSource(folder.path).open()
        #expect(data.format == .folder && !data.hasSplits && data.normalisation == .standard)
        #expect(data.layout == ImageLayout(shape: Shape(channels: 3, height: 2, width: 3), classes: 3))
        let set = try data.read(.train)
        #expect((0..<4).map(set.label).sorted() == [0, 0, 1, 2])
        for image in 0..<4 where set.label(image) > 0 {
            #expect(
                set.pixels(image).elementsEqual(
                    (0..<3).flatMap { channel in
                        stride(from: channel, to: 18, by: 3).map { colours[$0] }
                    }))
        }
        #expect(try data.read(.train, limit: 2) == set.subset(0..<2))
        #expect(try data.read(.test).withPixels { Array($0) } == set.withPixels { Array($0) })
        #expect(!data.hasSplits && data.splits == [.train])
    }

    @Test func trainAndValidationFoldersAreTheSplits() throws {
        let folder = try folder([
            ("train/x", "colour.png"), ("train/y", "grey.png"), ("val/x", "alpha.png"), ("val/y", "palette.png"),
        ])
        let data = try ImageSource(folder.path).open()
        let (training, test) = (try data.read(.train), try data.read(.test))
        #expect((training.count, test.count) == (2, 2) && training.split == .train && test.split == .test)
        try FileManager.default.moveItem(atPath: "\(folder.path)/val/y", toPath: "\(folder.path)/val/z")
        #expect(folder.complaint().contains("different classes: y, z"))
    }

    @Test func picturesOfDifferentSizesAskForResizeAndCrop() throws {
        let folder = try folder([("a", "colour.png"), ("b", "colour.jpg")])
        #expect(folder.complaint().contains("--resize 256 --crop 224"))
        let set = try ImageSource(folder.path, resize: 4, crop: 3).open().read(.test)
        #expect(set.layout.shape == Shape(channels: 3, height: 3, width: 3))
    }

    @Test func picturesInNoFolderHaveNoLabels() throws {
        let folder = try folder([(".", "colour.png"), (".", "alpha.png")])
        #expect(folder.complaint().contains("has images without labels"))
        let data = try ImageSource(folder.path).open(needsLabels: false)
        #expect(!data.hasLabels)
        #expect(try data.read(.train).count == 2)
    }

    @Test func anEmptyClassIsNamed() throws {
        let folder = try folder([("a", "colour.png"), ("b", "colour.png")])
        try FileManager.default.removeItem(atPath: "\(folder.path)/b/colour.png")
        #expect(folder.complaint().contains("/b has no JPEG, PNG or WebP"))
    }

    @Test func brokenPicturesAreNamedAndLeftOutOnlyWhereTheyAreFew() throws {
        let folder = try folder([("a", "colour.png"), ("b", "cut.png")])
        for number in 0..<98 {
            try FileManager.default.copyItem(
                atPath: "\(Self.fixtures)/colour.png", toPath: "\(folder.path)/a/\(number).png")
        }
        // A class must keep a picture.
        try FileManager.default.copyItem(atPath: "\(Self.fixtures)/grey.png", toPath: "\(folder.path)/b/good.png")
        // The first picture, which decides the size, is drawn at random; it must not be the broken one for this test.
        #expect(folder.complaint().contains("cut.png"))
        #expect(folder.complaint().contains("cut short"))
        let set = try ImageSource(folder.path, skipsBroken: true).open().read(.test)
        #expect(set.count == 100)
        #expect((0..<100).count { set.label($0) == 1 } == 1)
        let first = try ImageSource(folder.path, skipsBroken: true).open().read(.test, limit: 100)
        #expect(first.count == 100)
        let error = #expect(throws: Failure.self) {
            try ImageSource(folder.path, skipsBroken: true).open().read(.test, limit: 101)
        }
        #expect(error?.description.contains("without the broken ones") == true)
        for name in ["cmyk.jpg", "cut.jpg"] {
            try FileManager.default.copyItem(atPath: "\(Self.fixtures)/\(name)", toPath: "\(folder.path)/a/\(name)")
        }
        let tooMany = #expect(throws: Failure.self) {
            try ImageSource(folder.path, skipsBroken: true).open().read(.test)
        }
        #expect(tooMany?.description.contains("3 of 103 pictures are unreadable") == true)
    }

    @Test(.enabled(if: Python.canImport("numpy", "PIL", "torchvision"), "no torchvision"))
    func scalingAndCroppingAreThoseOfTorchvision() throws {
        let folder = try ImageFolder()
        // One picture for each class, so that its label tells which it is.
        let program = """
            import sys, os, numpy as np
            from PIL import Image
            from torchvision import datasets, transforms
            root = sys.argv[1]
            g = np.random.default_rng(1)
            names = ["a.jpg", "b.png", "c.webp", "d.jpg", "e.png", "f.jpg", "g.png"]
            sizes = [(90, 61), (33, 50), (64, 64), (40, 200), (19, 23), (128, 97), (32, 31)]
            for name, (height, width) in zip(names, sizes):
                small = g.integers(0, 256, (6, 7, 3), dtype=np.uint8)
                picture = Image.fromarray(small).resize((width, height), Image.BICUBIC)
                noise = np.array(picture, int) + g.integers(-9, 9, (height, width, 3))
                picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
                if name[0] == "f": picture = picture.convert("L")
                os.makedirs(f"{root}/pictures/{name[0]}")
                picture.save(f"{root}/pictures/{name[0]}/{name}", quality=90)
            for resize, crop in [(32, 32), (45, 40), (16, 24), (None, 30), (31, 27)]:
                steps = [transforms.Resize(resize)] if resize else []
                found = datasets.ImageFolder(root + "/pictures", transforms.Compose(steps + [transforms.CenterCrop(crop)]))
                for picture, _ in found:
                    sys.stdout.buffer.write(np.array(picture).transpose(2, 0, 1).tobytes())
            """
        let (status, output) = try Python.run(program, [folder.path])
        #expect(status == 0)
        var expected = Array(output)[...]
        for (resize, crop) in [(32, 32), (45, 40), (16, 24), (nil, 30), (31, 27)] as [(Int?, Int)] {
            let data = try ImageSource("\(folder.path)/pictures", resize: resize, crop: crop).open()
            let set = try data.read(.test)
            for label in 0..<7 {
                let image = try #require((0..<7).first { set.label($0) == label })
                let wanted = expected.prefix(3 * crop * crop)
                let differences = zip(set.pixels(image), wanted).map { abs(Int($0) - Int($1)) }
                #expect(differences.count == 3 * crop * crop)
                let mean = Double(differences.reduce(0, +)) / Double(differences.count)
                // Other releases of libjpeg and libwebp round a few values differently; PNG is lossless.
                let isLossless = [1, 4, 6].contains(label)
                #expect(mean < (isLossless ? 0.01 : 0.5), "picture \(label), --resize \(resize ?? 0)")
                expected = expected.dropFirst(3 * crop * crop)
            }
        }
        #expect(expected.isEmpty)
    }
}
