import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Errors around a run are reported in plain words with the right exit code, and harm nothing.
@Suite(.serialized) struct RefusalTests {
    @Test func aTakenPortIsTold() async throws {
        let cluster = try TestCluster()
        let context = try Context()
        var options = SocketOptions()
        options.usesIPv6 = false
        let socket = try Socket(.router, in: context, options: options)
        try socket.bind(to: "tcp://127.0.0.1:0")
        let coordinator = try cluster.startRun(["--bind", try socket.lastEndpoint()])
        #expect(try await coordinator.exitCode() == 69)
        #expect(coordinator.output.contains("in use"))
        #expect(!FileManager.default.fileExists(atPath: cluster.runFile), "a run that cannot begin leaves no file")
    }

    @Test func anOpenPortNeedsKeysOrAWord() async throws {
        let cluster = try TestCluster()
        let refused = try cluster.startRun(["--bind", "tcp://0.0.0.0:0"])
        #expect(try await refused.exitCode() == 64)
        #expect(refused.output.contains("--insecure"))
        let meant = try cluster.startRun(masks: 20, ["--bind", "tcp://0.0.0.0:0", "--insecure"])
        let endpoint = try await cluster.endpoint(of: meant).replacing("0.0.0.0", with: "127.0.0.1")
        _ = try cluster.startWorker(endpoint)
        #expect(try await meant.exitCode() == 0)
        #expect(meant.output.contains("warning"))
    }

    @Test func aSecondCoordinatorOnARunFileIsRefused() async throws {
        let cluster = try TestCluster()
        let first = try cluster.startRun(masks: 100)
        let endpoint = try await cluster.endpoint(of: first)
        let second = try cluster.startResume()
        #expect(try await second.exitCode() == 69)
        #expect(second.output.contains("another coordinator"))
        _ = try cluster.startWorker(endpoint)
        #expect(try await first.exitCode() == 0)
        try cluster.expectComplete(masks: 100)
    }

    @Test func aRunFileCutShortIsTold() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 50, cluster.localWorkers(1))
        #expect(try await coordinator.exitCode() == 0)
        truncate(cluster.runFile, 6000)
        let resumed = try cluster.startResume()
        #expect(try await resumed.exitCode() == 65)
        #expect(resumed.output.contains("damaged"))
    }

    @Test func aRunFileThatCannotBeWrittenIsTold() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 50)
        _ = try await cluster.endpoint(of: coordinator)
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
        chmod(cluster.runFile, 0o444)
        // Permissions do not bind root.
        let prefix = getuid() == 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : []
        let resumed = try cluster.start("winnow-coordinator", ["resume", "--run", cluster.runFile], prefix: prefix)
        #expect(try await resumed.exitCode() == 65)
        #expect(resumed.output.contains("for writing"))
    }

    @Test func otherImagesAreNotTakenForThoseOfTheRun() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 50)
        _ = try await cluster.endpoint(of: coordinator)
        coordinator.signal(SIGTERM)
        #expect(try await coordinator.exitCode() == 130)
        let batch = "\(cluster.folder)/data/data_batch_1.bin"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: batch))
        bytes[100] ^= 1
        try bytes.write(to: URL(fileURLWithPath: batch))
        let resumed = try cluster.startResume()
        #expect(try await resumed.exitCode() == 65)
        #expect(resumed.output.contains("are not the run's"))
    }

    @Test func aFullDiskStopsTheRunAndLeavesItResumable() async throws {
        let cluster = try TestCluster()
        let masks = 20_000
        // The size limit of a file: the network fits, all evaluations do not.
        let limit = try FileManager.default.attributesOfItem(atPath: cluster.model)[.size] as? Int ?? 0
        let options = cluster.runOptions(masks: masks) + ["--bind", "tcp://127.0.0.1:0"]
        let coordinator = try cluster.start(
            "winnow-coordinator", options, prefix: ["prlimit", "--fsize=\(limit + 500_000)"])
        let worker = try LightWorker(try await cluster.endpoint(of: coordinator))
        #expect(try await coordinator.exitCode() == 69)
        worker.stop()
        #expect(coordinator.output.contains("resume --run"))
        let kept = try cluster.evaluations()
        #expect(!kept.isEmpty && kept.count < masks)

        let resumed = try cluster.startResume()
        let second = try LightWorker(try await cluster.endpoint(of: resumed))
        #expect(try await resumed.exitCode() == 0)
        second.stop()
        let all = try cluster.evaluations()
        #expect(all.count == masks)
        #expect(kept.allSatisfy { all[$0.mask] == $0 })
    }

    @Test func aMissingCoordinatorIsTold() async throws {
        let cluster = try TestCluster()
        let worker = try cluster.startWorker("tcp://127.0.0.1:9", ["--give-up-after", "2"])
        #expect(try await worker.exitCode() == 69)
        #expect(worker.output.contains("nobody listens at tcp://127.0.0.1:9"))
        #expect(worker.output.contains("no coordinator at"))
    }

    @Test func aRunWithoutWorkersSaysSo() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        let line = try await coordinator.line(containing: "no progress")
        #expect(line.contains("no worker has connected"))
        #expect(line.contains("winnow-worker serve --connect \(endpoint)"))
        let status = try cluster.start("winnow-coordinator", ["status", "--run", cluster.runFile])
        #expect(try await status.exitCode() == 0)
        #expect(status.output.contains("no progress: no worker has connected"))
    }

    @Test func aRunThatGoesOnCanBeLookedAt() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(cluster.localWorkers(1))
        try await cluster.wait(forRecorded: 20, by: coordinator)
        let status = try cluster.start("winnow-coordinator", ["status", "--run", cluster.runFile])
        #expect(try await status.exitCode() == 0)
        #expect(status.output.contains("of \(TestCluster.masks) masks"))
        let story = try cluster.start("winnow-coordinator", ["story", "--run", cluster.runFile, "--mask", "3"])
        #expect(try await story.exitCode() == 0)
        for part in ["life 1 of the coordinator began", "mask 3: recorded", ": answered"] {
            #expect(story.output.contains(part))
        }
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
    }
}
