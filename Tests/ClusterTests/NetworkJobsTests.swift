import Foundation
import Shared
import Testing

@testable import Coordinator

/// `prune` whose work is done by workers that connect: the same bytes as where one worker of its own does it.
@Suite struct NetworkJobsTests {
    private static let steps = [
        ["--method", "l1", "--remove-filters", "0.3", "--reconstruct"],
        ["--method", "taylor", "--gradient-images", "90", "--remove-filters", "0.3", "--recalibrate"],
    ]

    private func options(_ cluster: TestCluster, _ output: String) -> [String] {
        [
            "prune", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--anyway", "--split", "train",
            "--images", "\(TestCluster.images)", "--calibration-images", "64", "--output", output, "--json",
            output + ".json",
        ]
    }

    private struct Record: Decodable, Equatable {
        struct Measured: Decodable, Equatable { let loss: Double }
        let measured: [Measured]
    }

    private func result(_ output: String) throws -> (network: Data, measured: Record) {
        (
            try Data(contentsOf: URL(filePath: output)),
            try JSONDecoder().decode(Record.self, from: Data(contentsOf: URL(filePath: output + ".json")))
        )
    }

    @Test(arguments: NetworkJobsTests.steps)
    func whoeverComputesTheSameNetworkComesOut(of method: [String]) async throws {
        let cluster = try TestCluster()
        let alone = "\(cluster.folder)/alone.safetensors"
        let own = try cluster.start("winnow-coordinator", options(cluster, alone) + method + ["--threads", "1"])
        #expect(try await own.exitCode() == 0, "\(own.output)")

        let shared = "\(cluster.folder)/shared.safetensors"
        let prune = try cluster.start(
            "winnow-coordinator", options(cluster, shared) + method + ["--bind", "tcp://127.0.0.1:0"])
        let endpoint = try await cluster.endpoint(of: prune)
        let first = try cluster.startWorker(endpoint, ["--once"])
        // The first one dies with what it has; another one comes.
        _ = try await prune.line(containing: " joined")
        try await Task.sleep(for: .milliseconds(.random(in: 0...300)))
        first.signal(SIGKILL)
        // They may come when all is done.
        for _ in 0..<2 { _ = try cluster.startWorker(endpoint, ["--once"]) }
        #expect(try await prune.exitCode() == 0, "\(prune.output)")
        let (expected, found) = (try result(alone), try result(shared))
        #expect(found.network == expected.network)
        #expect(found.measured == expected.measured)
    }
}
