import Foundation
import Shared
import Testing

@testable import Coordinator

/// `prune --refine`, whose masks `winnow-worker` evaluates.
@Suite struct RefinementTests {
    private struct Record: Decodable {
        struct Layer: Decodable, Equatable {
            let name: String
            let removed: [Int]
        }
        struct Size: Decodable { let multiplyAccumulates: Int }
        struct Refinement: Decodable {
            let masks: Int
            let images: Int
            let lossBefore: Double
            let loss: Double
            let origin: String
        }
        let before: Size
        let after: Size
        let layers: [Layer]
        let refinement: Refinement?
    }

    /// With separate images for every group of masks; and with so few images that none can rotate.
    @Test(arguments: [["--images", "96", "--images-per-mask", "40"], ["--images", "24"]])
    func aRefinedChoiceKeepsTheBudgetAndLosesNoMore(images: [String]) async throws {
        let cluster = try TestCluster()
        let data = ["--data", "\(cluster.folder)/data"]
        let run = try cluster.start(
            "winnow-coordinator",
            [
                "run", "--model", cluster.model, "--masks", "96", "--calibration-images", "32", "--seed", "5", "--run",
                cluster.runFile, "--anyway", "--local-workers", "1",
            ] + data + images)
        #expect(try await run.exitCode() == 0, "\(run.output)")

        func pruned(_ name: String, _ more: [String]) async throws -> Record {
            let file = "\(cluster.folder)/\(name).json"
            let prune = try cluster.start(
                "winnow-coordinator",
                [
                    "prune", "--run", cluster.runFile, "--remove-flops", "0.3", "--split", "train", "--images", "24",
                    "--calibration-images", "32", "--threads", "1", "--dry-run", "--json", file,
                ] + data + more)
            #expect(try await prune.exitCode() == 0, "\(prune.output)")
            return try JSONDecoder().decode(Record.self, from: Data(contentsOf: URL(filePath: file)))
        }
        let refined = try await pruned("refined", ["--refine", "80"])
        let refinement = try #require(refined.refinement)
        #expect(refinement.masks == 80)
        #expect(refinement.loss <= refinement.lossBefore)
        #expect(Double(refined.after.multiplyAccumulates) <= 0.7 * Double(refined.before.multiplyAccumulates))
        #expect(try await pruned("again", ["--refine", "80"]).layers == refined.layers)
        #expect(try await pruned("plain", []).refinement == nil)
    }

    @Test func whatCannotBeRefinedIsSaid() async throws {
        let cluster = try TestCluster()
        let data = ["--data", "\(cluster.folder)/data"]
        for (options, words) in [
            (["--model", cluster.model, "--method", "l1"] + data, "--method ensemble"),
            (["--run", cluster.runFile], "needs --data"),
            (["--run", cluster.runFile, "--reconstruct"] + data, "--selection scores"),
        ] {
            let prune = try cluster.start(
                "winnow-coordinator", ["prune", "--refine", "64", "--remove-flops", "0.3", "--dry-run"] + options)
            #expect(try await prune.exitCode() == 64)
            #expect(prune.output.contains(words), "\(prune.output)")
        }
    }
}
