import Foundation
import Shared
import Testing

@testable import Coordinator

/// Runs whose groups of masks have their own images, with real processes.
struct ImageRotationTests {
    private static let imagesPerMask = 40
    private static let options = ["--images-per-mask", String(imagesPerMask)]

    @Test func aRunThatIsKilledAndResumedEvaluatesEveryMaskOnTheImagesOfItsGroup() async throws {
        let cluster = try TestCluster()
        let first = try cluster.startRun(Self.options + cluster.localWorkers(1))
        try await cluster.wait(forRecorded: TestCluster.masks / 10, by: first)
        first.signal(SIGKILL)
        first.wait()
        let second = try cluster.startResume(cluster.localWorkers(2))
        #expect(try await second.exitCode() == 0, "\(second.output)")
        try cluster.expectComplete(imagesPerMask: Self.imagesPerMask)
    }

    @Test func theMasksOfARunGiveItsLossesAgain() async throws {
        let cluster = try TestCluster()
        let masks = 200
        let run = try cluster.startRun(masks: masks, Self.options + cluster.localWorkers(1))
        #expect(try await run.exitCode() == 0, "\(run.output)")
        let (file, losses) = ("\(cluster.folder)/masks.json", "\(cluster.folder)/losses.json")
        let ensemble = try cluster.start(
            "winnow-coordinator", ["ensemble", "--run", cluster.runFile, "--output", file])
        #expect(try await ensemble.exitCode() == 0, "\(ensemble.output)")
        let evaluate = try cluster.start(
            "winnow-worker",
            [
                "evaluate", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--split", "train",
                "--batchnorm", "corrected", "--calibration-images", "32", "--masks", file, "--output", losses,
            ])
        #expect(try await evaluate.exitCode() == 0, "\(evaluate.output)")
        struct Losses: Decodable {
            struct Result: Decodable { let loss: Double }
            let images: Int
            let results: [Result]
        }
        let again = try JSONDecoder().decode(Losses.self, from: Data(contentsOf: URL(filePath: losses)))
        #expect(again.images == Self.imagesPerMask)
        #expect(try again.results.map(\.loss) == cluster.evaluations().map(\.evaluation.loss))
    }

    @Test(arguments: [
        (["--images-per-mask", "97"], "more than --images"), (["--images-per-mask", "0"], "must be from 1"),
        (["--images-per-mask", "8", "--design", "ablation"], "the same images"),
    ])
    func whatCannotRotateIsRefused(options: [String], words: String) async throws {
        let cluster = try TestCluster()
        // As many as an ablation of the network's hidden filters takes.
        let run = try cluster.startRun(masks: 57, options)
        #expect(try await run.exitCode() == 64)
        #expect(run.output.contains(words), "\(run.output)")
    }
}
