import Foundation
import TestSupport
import Testing

@testable import Shared
@testable import Worker

/// `winnow-worker evaluate`, from files to files.
struct EvaluateCommandTests {
    private let folder: URL
    private let network: Network
    private let test: ImageSet
    private let train: ImageSet

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: 11)
        network = Network.random(
            .residual(widths: [4, 6, 8], blocksPerStage: 1, imageSize: 32), using: &generator)
        test = ImageSet.random(30, using: &generator)
        train = ImageSet.random(20, using: &generator)
        try Data(Checkpoint.safetensors(of: network)).write(to: folder.appendingPathComponent("model.safetensors"))
        try Data(CIFAR10.records(of: test)).write(to: folder.appendingPathComponent("test_batch.bin"))
        try Data(CIFAR10.records(of: train)).write(to: folder.appendingPathComponent("data_batch_1.bin"))
        try Data(#"{"masks":[{"disabled":{}},{"disabled":{"layer1.0.conv1":[0,3],"conv1":[1]}}]}"#.utf8)
            .write(to: folder.appendingPathComponent("masks.json"))
    }

    private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    /// Runs the command and reads what it wrote.
    private func evaluate(_ words: [String]) throws -> Losses {
        defer { try? FileManager.default.removeItem(at: folder) }
        let parsed = try workerProgram.parse(
            [
                "evaluate", "--model", path("model.safetensors"), "--data", folder.path, "--masks", path("masks.json"),
                "--output", path("losses.json"),
            ] + words)
        guard case .command(let command) = parsed else { throw Failure(.internalFault, "no command") }
        try command.run()
        return try JSONDecoder().decode(Losses.self, from: Data(contentsOf: URL(fileURLWithPath: path("losses.json"))))
    }

    private struct Losses: Decodable {
        struct Result: Decodable {
            let loss: Double
            let correct: Int
        }
        let model: String
        let images: Int
        let results: [Result]
    }

    private func expect(_ losses: Losses, _ settings: EvaluationSettings, images: ImageSet) throws {
        #expect(losses.model == path("model.safetensors"))
        #expect(losses.images == settings.images)
        let masks = try [[:], ["layer1.0.conv1": [0, 3], "conv1": [1]]].map {
            try Mask($0, of: network.graph)
        }
        let expected = try Engine(network: network, threads: 1)
            .evaluate(masks, images: images, calibration: train, settings: settings)
        #expect(losses.results.map(\.loss) == expected.map(\.loss))
        #expect(losses.results.map(\.correct) == expected.map(\.correct))
    }

    @Test func allTestImagesAreEvaluatedByDefault() throws {
        try expect(
            evaluate(["--threads", "2"]), EvaluationSettings(split: .test, images: 30, batchNorm: .frozen), images: test
        )
    }

    @Test func optionsDecideImagesBatchNormsAndNormalisation() throws {
        let settings = EvaluationSettings(
            split: .train, images: 17, batchNorm: .recalibrated(images: 12),
            normalisation: Normalisation(mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.25, 0.5]))
        try expect(
            evaluate([
                "--split=train", "--images=17", "--batchnorm=recalibrated", "--calibration-images=12",
                "--mean=0.4,0.5,0.6", "--deviation=0.2,0.25,0.5",
            ]), settings, images: train)
    }

    @Test func theNetworksOwnAnswersReplaceLabels() throws {
        let settings = EvaluationSettings(split: .test, images: 30, batchNorm: .frozen, labels: .network)
        let losses = try evaluate(["--labels", "network"])
        #expect(losses.results[0].loss == 0 && losses.results[0].correct == 30)
        try expect(losses, settings, images: test)
    }

    @Test func masksAreEvaluatedAndCalibratedOnTheImagesThatTheyName() throws {
        let lists = [[7, 3, 19, 0], [1, 2, 4, 5]]
        let text =
            #"{"image_lists":[[7,3,19,0],[1,2,4,5]],"masks":[{"disabled":{},"images":1},"#
            + #"{"disabled":{"layer1.0.conv1":[0,3],"conv1":[1]},"images":0}]}"#
        try Data(text.utf8).write(to: folder.appendingPathComponent("masks.json"))
        let losses = try evaluate(["--split", "train", "--batchnorm", "corrected", "--calibration-images", "3"])
        let settings = EvaluationSettings(split: .train, images: 4, batchNorm: .corrected(images: 3))
        #expect(losses.images == 4)
        for (place, (list, disabled)) in [(1, [:]), (0, ["layer1.0.conv1": [0, 3], "conv1": [1]])].enumerated() {
            let own = train.picking(lists[list])
            let expected = try Engine(network: network, threads: 1)
                .evaluate([Mask(disabled, of: network.graph)], images: own, calibration: own, settings: settings)
            #expect(losses.results[place].loss == expected[0].loss)
            #expect(losses.results[place].correct == expected[0].correct)
        }
    }

    @Test(arguments: [
        (["--images", "31"], Failure.Kind.badInput), (["--deviation", "0,1,1"], .usage), (["--mean", "0.5"], .usage),
        (["--threads", "0"], .usage), (["--images", "0"], .usage),
        (["--memory-limit", "1", "--batchnorm", "corrected", "--calibration-images", "20"], .unavailable),
        (["--batchnorm", "recalibrated", "--calibration-images", "21"], .badInput),
    ])
    func whatCannotBeDoneIsSaid(words: [String], kind: Failure.Kind) {
        let failure = #expect(throws: Failure.self) { try evaluate(words) }
        #expect(failure?.kind == kind)
    }
}
