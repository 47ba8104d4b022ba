import Foundation
import TestSupport
import Testing

@testable import Coordinator
@testable import Shared

@Suite struct ConvertImagesTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-convert-\(UUID())").path

    private func run(_ arguments: String...) throws {
        guard case .command(let command) = try coordinatorProgram.parse(["images"] + arguments) else {
            throw Failure(.internalFault, "no command")
        }
        try command.run()
    }

    @Test func whatIsWrittenHoldsTheSameImagesClassesAndNormalisation() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var generator = SeededGenerator(seed: 1)
        let (train, test) = (ImageSet.random(12, using: &generator), ImageSet.random(5, using: &generator))
        try Data(CIFAR10.records(of: train)).write(to: URL(fileURLWithPath: "\(folder)/data_batch_1.bin"))
        try Data(CIFAR10.records(of: test)).write(to: URL(fileURLWithPath: "\(folder)/test_batch.bin"))
        let archive = "\(folder)/images.npz"
        try run("--data", folder, "--output", archive, "--mean", "0.5,0.4,0.3", "--deviation", "0.25,0.5,1")
        let original = try ImageSource(folder, format: .cifar10).open()
        let written = try ImageSource(archive).open()
        #expect(written.layout == original.layout)
        #expect(written.normalisation == Normalisation(mean: [0.5, 0.4, 0.3], deviation: [0.25, 0.5, 1]))
        for split in EvaluationSettings.Split.allCases {
            // The same set to the last bit, so a worker finds it in either form.
            #expect(try written.read(split).digest == original.read(split).digest)
        }
        #expect(throws: Failure.self) { try run("--data", folder, "--output", archive) }
        try run("--data", folder, "--output", archive, "--images", "3", "--force")
        #expect(try ImageSource(archive).open().read(.train) == original.read(.train, limit: 3))
    }

    @Test func whatHasNoLabelsIsWrittenWithoutAny() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let arrays = try NumpyArchive("\(folder)/images.npz")
        var generator = SeededGenerator(seed: 2)
        try arrays.add(ImageSet.random(3, using: &generator), prefix: "", hasLabels: false)
        try arrays.finish()
        try run("--data", "\(folder)/images.npz", "--output", "\(folder)/again.npz")
        func opened(_ name: String) throws -> DataSet {
            try ImageSource("\(folder)/\(name).npz").open(needsLabels: false)
        }
        let (original, written) = (try opened("images"), try opened("again"))
        #expect(!written.hasLabels && written.layout == original.layout)
        #expect(try written.read(.test).withPixels { Array($0) } == original.read(.test).withPixels { Array($0) })
    }

    @Test func statisticsAreThoseOfTheDefinition() {
        let layout = ImageLayout(shape: Shape(channels: 2, height: 1, width: 2), classes: 3)
        let images = ImageSet(layout, split: .train, count: 2) { labels, pixels in
            labels[0] = 2
            labels[1] = 2
            pixels.copyBytes(from: [0, 255, 51, 51, 0, 255, 51, 153])
        }
        let statistics = ImageStatistics(images)
        #expect(statistics.counts == [0, 0, 2])
        for (mean, expected) in zip(statistics.means, [0.5, 0.3]) { #expect(abs(mean - expected) < 1e-12) }
        #expect(abs(statistics.deviations[0] - 0.5) < 1e-12)
        #expect(abs(statistics.deviations[1] - 0.03.squareRoot()) < 1e-12)
    }
}
