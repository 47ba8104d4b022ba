import Foundation
import Testing

@testable import Coordinator
@testable import Shared

/// The check of a network that does not know the images: it is random, and so are they.
@Suite struct RecognitionTests {
    @Test func aRunOfANetworkThatRecognisesNothingBeginsOnlyWhenItIsWanted() async throws {
        let cluster = try TestCluster()
        let options = cluster.runOptions(masks: 8).filter { $0 != "--anyway" } + cluster.localWorkers(1)
        let process = try cluster.start("winnow-coordinator", options)
        #expect(try await process.exitCode() == 65)
        #expect(process.output.contains("hardly better than chance (1 in 10)"))
        #expect(process.output.contains("mean 0.485,0.456,0.406"))
        #expect(!FileManager.default.fileExists(atPath: cluster.runFile))

        let again = try cluster.start("winnow-coordinator", options + ["--anyway"])
        #expect(try await again.exitCode() == 0)
        #expect(again.output.contains("hardly better than chance"))
    }

    @Test func aNetworkOfAnotherAccuracyThanExpectedIsRefused() async throws {
        let cluster = try TestCluster()
        let options = cluster.runOptions(masks: 8) + cluster.localWorkers(1)
        let process = try cluster.start("winnow-coordinator", options + ["--expect-accuracy", "91.7"])
        #expect(try await process.exitCode() == 65)
        #expect(process.output.contains("unmasked: loss "))
        #expect(process.output.contains("not on the 91.7 % that --expect-accuracy says (within 0.5)"))
        #expect(!FileManager.default.fileExists(atPath: cluster.runFile))
    }

    @Test func aNetworkWithoutARunIsLookedAtToo() async throws {
        let cluster = try TestCluster()
        let output = "\(cluster.folder)/pruned.safetensors"
        let options = [
            "prune", "--model", cluster.model, "--method", "l1", "--remove-filters", "0.2", "--data",
            "\(cluster.folder)/data", "--mean", "0.5,0.5,0.5", "--output", output,
        ]
        let process = try cluster.start("winnow-coordinator", options)
        #expect(try await process.exitCode() == 65)
        #expect(process.output.contains("hardly better than chance (1 in 10)"))
        let again = try cluster.start("winnow-coordinator", options + ["--anyway"])
        #expect(try await again.exitCode() == 0)
        // What was given stays with the network.
        let pruned = try Checkpoint.network(at: output)
        #expect(pruned.facts.normalisation?.mean == [0.5, 0.5, 0.5])
    }
}
