import Foundation
import Testing

@testable import Coordinator

/// The first look at a network that knows nothing of the images: it is random, and so are they.
@Suite struct RecognitionTests {
    @Test func aRunOfANetworkThatRecognisesNothingBeginsOnlyWhenItIsWanted() async throws {
        let cluster = try TestCluster()
        let options = cluster.runOptions(masks: 8).filter { $0 != "--anyway" } + cluster.localWorkers(1)
        let process = try cluster.start("winnow-coordinator", options)
        #expect(try await process.exitCode() == 65)
        #expect(process.output.contains("hardly more than by chance (1 in 10)"))
        #expect(process.output.contains("mean 0.485,0.456,0.406"))
        #expect(!FileManager.default.fileExists(atPath: cluster.runFile))

        let again = try cluster.start("winnow-coordinator", options + ["--anyway"])
        #expect(try await again.exitCode() == 0)
        #expect(again.output.contains("hardly more than by chance"))
    }
}
