import Testing

@testable import Coordinator

@Test func aNetworkIsExpectedToBeRightTwiceAsOftenAsChance() {
    #expect(RecognitionCheck.expected(classes: 10) == 0.2)
    #expect(RecognitionCheck.expected(classes: 1000) == 0.002)
    // With two classes twice of chance would be all images.
    #expect(RecognitionCheck.expected(classes: 2) == 0.75)
    #expect(RecognitionCheck.expected(classes: 1) == 1)
}

@Test func anExpectedAccuracyHasATolerance() {
    #expect(RecognitionCheck.tolerance(expected: 91.7, images: nil) == 0.5)
    // Three standard errors of 256 images.
    #expect(abs(RecognitionCheck.tolerance(expected: 90, images: 256) - 5.625) < 1e-9)
    #expect(RecognitionCheck.tolerance(expected: 90, images: 1_000_000) == 0.5)
    #expect(RecognitionCheck.tolerance(expected: 100, images: 100) > 2)
}
