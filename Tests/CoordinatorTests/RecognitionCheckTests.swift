import Testing

@testable import Coordinator

@Test func aNetworkIsExpectedToBeRightTwiceAsOftenAsChance() {
    #expect(RecognitionCheck.expected(classes: 10) == 0.2)
    #expect(RecognitionCheck.expected(classes: 1000) == 0.002)
    // With two classes twice of chance would be all images.
    #expect(RecognitionCheck.expected(classes: 2) == 0.75)
    #expect(RecognitionCheck.expected(classes: 1) == 1)
}
