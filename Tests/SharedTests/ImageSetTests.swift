import TestSupport
import Testing

@testable import Shared

@Suite struct ImageSetTests {
    private let layouts = [
        CIFAR10.layout,
        ImageLayout(shape: Shape(channels: 1, height: 3, width: 5), classes: 200),
        ImageLayout(shape: Shape(channels: 2, height: 4, width: 3), classes: 7, pixelType: .float32),
    ]

    private func complaint(_ blob: [UInt8]) -> String {
        do {
            _ = try ImageSet(blob: blob, name: "here")
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func aSetComesBackFromItsBytesWithAllThatItSaysOfItself() throws {
        var generator = SeededGenerator(seed: 1)
        for layout in layouts {
            for split in EvaluationSettings.Split.allCases {
                let set = ImageSet.random(4, layout: layout, split: split, using: &generator)
                let again = try ImageSet(blob: set.blob, name: "here")
                #expect(again == set)
                #expect((again.layout, again.split, again.count) == (layout, split, 4))
                #expect(set.blob.count == ImageSet.blobBytes(layout, count: 4))
                #expect(ImageSet.count(layout, blobBytes: set.blob.count) == 4)
                #expect(ImageSet.count(layout, blobBytes: set.blob.count + 1) == nil)
            }
        }
    }

    @Test func theDigestCoversShapeClassesTypeSplitAndLabels() throws {
        func digest(
            _ shape: Shape, classes: Int = 4, _ type: ImageLayout.PixelType = .uint8,
            _ split: EvaluationSettings.Split = .test, label: Int32 = 0
        ) -> Digest {
            ImageSet(ImageLayout(shape: shape, classes: classes, pixelType: type), split: split, count: 1) {
                $0[0] = label
                $1.initializeMemory(as: UInt8.self, repeating: 0)
            }.digest
        }
        let shape = Shape(channels: 1, height: 4, width: 2)
        let digests = [
            digest(shape), digest(Shape(channels: 1, height: 2, width: 4)), digest(shape, classes: 5),
            digest(Shape(channels: 1, height: 2, width: 1), .float32), digest(shape, .uint8, .train),
            digest(shape, label: 1),
        ]
        #expect(Set(digests).count == digests.count)
        #expect(digest(shape) == digests[0])
    }

    @Test func aPartHasTheImagesAndLabelsOfItsPlaces() {
        var generator = SeededGenerator(seed: 2)
        for layout in layouts {
            let set = ImageSet.random(6, layout: layout, using: &generator)
            let part = set.subset(2..<5)
            #expect(part.count == 3 && part.layout == layout)
            for image in 0..<3 {
                #expect(part.label(image) == set.label(image + 2))
                #expect(part.pixels(image).elementsEqual(set.pixels(image + 2)))
            }
            #expect(set.subset(0..<6) == set)
        }
    }

    @Test func bytesThatContradictThemselvesAreRefused() {
        var generator = SeededGenerator(seed: 3)
        let set = ImageSet.random(2, layout: layouts[1], using: &generator)
        #expect(complaint([]).contains("not an image set"))
        #expect(complaint(Array(set.blob.dropLast())).contains("contradict"))
        #expect(complaint(set.blob + [0]).contains("contradict"))
        func changed(_ offset: Int, to value: UInt8) -> String {
            var blob = set.blob
            blob[offset] = value
            return complaint(blob)
        }
        #expect(changed(0, to: 0).contains("not an image set"))
        #expect(changed(8, to: 9).contains("version 9"))
        for offset in [12, 16] { #expect(changed(offset, to: 2).contains("contradict")) }
        for offset in stride(from: 20, to: 40, by: 4) { #expect(changed(offset + 3, to: 255).contains("contradict")) }
        #expect(changed(40, to: 200).contains("image 0 has label 200; labels are 0 to 199"))
        #expect(changed(47, to: 255).contains("image 1 has label"))
    }

    @Test func aPixelThatIsNoNumberIsNamedWithItsPlace() {
        var generator = SeededGenerator(seed: 4)
        let set = ImageSet.random(3, layout: layouts[2], using: &generator)
        var blob = set.blob
        // The last byte of a float is its sign and exponent; with all of its bits set it is NaN.
        let place = ImageSet.pixelsOffset(count: 3) + 4 * (24 + 12 + 2 * 3 + 1)
        blob.replaceSubrange(place..<place + 4, with: [255, 255, 255, 255])
        #expect(complaint(blob).contains("here: image 1 is"))
        #expect(complaint(blob).contains("at channel 1, row 2, column 1"))
    }

    @Test func imagesThatANetworkDoesNotTakeAreRefusedNamingBoth() throws {
        var generator = SeededGenerator(seed: 5)
        let small = ImageSet.random(1, layout: layouts[1], using: &generator)
        let network = Networks.resnet(1)
        let error = #expect(throws: Failure.self) { try small.check(fits: network) }
        #expect(error?.kind == .badInput)
        #expect(
            error?.description == "the network takes images of 3 × 32 × 32 and has 10 outputs, but the images are "
                + "1 × 3 × 5 in 200 classes")
        func connected(_ input: Int, _ output: Int) -> Graph {
            .fullyConnected(LinearChain(layers: [.init(name: "a", input: input, output: output)]))
        }
        try small.check(fits: connected(15, 200))
        #expect(throws: Failure.self) { try small.check(fits: connected(15, 199)) }
        #expect(throws: Failure.self) { try small.check(fits: connected(16, 200)) }
        #expect(throws: Failure.self) { try small.check(Normalisation.standard) }
        try small.check(Normalisation.scaling(channels: 1))
    }
}
