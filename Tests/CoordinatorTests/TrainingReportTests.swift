import Foundation
import Shared
import Testing

@testable import Coordinator

@Suite struct TrainingReportTests {
    private func progress(epochs: Int, validationImages: Int) throws -> TrainingProgress {
        var settings = TrainingSettings()
        settings.epochs = 5
        settings.validationImages = validationImages
        var progress = try TrainingProgress(
            InitialNetwork("resnet:4x8").network(seed: 1), settings: settings, imageCount: 1000)
        progress.apply(validation: nil, test: Evaluation(correct: 10, images: 100), seconds: 1)
        for epoch in 0..<epochs {
            let nat = Int64(Evaluation.unitsPerNat)
            progress.apply(
                validation: validationImages > 0
                    ? Evaluation(lossSum: 90 * nat, correct: 40 - epoch, images: 100) : nil,
                test: Evaluation(lossSum: 100 * nat, correct: 31 + epoch, images: 100), seconds: 2)
        }
        return progress
    }

    private func count(_ text: String, in page: String) -> Int { page.components(separatedBy: text).count - 1 }

    @Test func thePageHasEveryEpochAndNeedsNoOtherFile() throws {
        let page = try TrainingReport(progress: progress(epochs: 3, validationImages: 0)).html
        #expect(page.contains("3 of 5 epochs"))
        #expect(page.contains("<b>10.00 %</b><span>test accuracy before"))
        #expect(page.contains("<b>33.00 %</b><span>test accuracy, last epoch"))
        #expect(!page.contains("best by validation"))
        // Three epochs and the start of the test accuracy; training accuracy; the losses of both.
        #expect(count("<circle", in: page) == 4 + 3 + 3 + 3)
        #expect(!page.contains("src=") && !page.contains("href="))
    }

    @Test func theBestByValidationIsShownBesideTheLast() throws {
        let page = try TrainingReport(progress: progress(epochs: 3, validationImages: 100)).html
        #expect(page.contains("<b>31.00 %</b><span>test accuracy, epoch 1, best by validation"))
        #expect(page.contains("<b>33.00 %</b><span>test accuracy, last epoch"))
    }

    @Test func aTrainingWithoutEpochsHasAPageToo() throws {
        let page = try TrainingReport(progress: progress(epochs: 0, validationImages: 0)).html
        #expect(page.contains("0 of 5 epochs"))
    }
}
