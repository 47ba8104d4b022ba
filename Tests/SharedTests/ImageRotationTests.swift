import TestSupport
import Testing

@testable import Shared

struct ImageRotationTests {
    @Test func everyImageIsSeenOnceBeforeTheNextTurn() {
        let rotation = ImageRotation(pool: 100, masks: 64, seed: 3)
        // Three groups of 30 a turn; ten images wait for the next one.
        let first = (0..<3).map { rotation.images(ofGroup: $0, count: 30) }
        #expect(Set(first.joined()).count == 90)
        #expect(first.allSatisfy { $0.allSatisfy((0..<100).contains) })
        let second = (3..<6).map { rotation.images(ofGroup: $0, count: 30) }
        #expect(Set(second.joined()).count == 90)
        #expect(first != second)
        #expect(rotation.images(ofGroup: 1, count: 30) == first[1])
        #expect(ImageRotation(pool: 100, masks: 64, seed: 4).images(ofGroup: 1, count: 30) != first[1])
    }

    @Test func everyImageIsEquallyLikely() {
        let rotation = ImageRotation(pool: 50, masks: 64, seed: 1)
        var times = [Int](repeating: 0, count: 50)
        for group in 0..<6000 { for image in rotation.images(ofGroup: group, count: 30) { times[image] += 1 } }
        // Each of 6,000 groups is a turn: an image is in 3,600 of them, give or take 38.
        for count in times { #expect((3400...3800).contains(count)) }
    }

    @Test func masksThatShareLayersShareImages() throws {
        for (name, masks) in [("tree", 64), ("tree-9x2", 256), ("balanced", 64), ("tree-2x24", 48)] {
            let ensemble = try Ensemble(
                SamplingDesign(named: name), of: Networks.resnet20, scope: SamplingScope(), masks: 100, seed: 1)
            let rotation = ImageRotation(pool: 100, of: ensemble)
            #expect(rotation.masks == masks, "\(name)")
            #expect(rotation.fits(ensemble, images: 100) && !rotation.fits(ensemble, images: 101))
        }
    }

    @Test func calibrationTakesAMasksOwnTrainingImages() {
        let rotation = ImageRotation(pool: 500, masks: 16, seed: 1)
        var settings = EvaluationSettings(
            split: .train, images: 40, batchNorm: .corrected(images: 64), rotation: rotation)
        #expect(settings.calibratesOnOwnImages && settings.imagesTaken == 64)
        #expect(settings.images(ofGroup: 2) == rotation.images(ofGroup: 2, count: 64))
        settings.split = .test
        #expect(!settings.calibratesOnOwnImages && settings.imagesTaken == 40)
        settings.rotation = nil
        #expect(settings.images(ofGroup: 2) == Array(0..<40))
    }
}
