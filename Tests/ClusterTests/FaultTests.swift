import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Real coordinators and workers that are killed, stopped and restarted. A run must end with the same evaluations as
/// without.
@Suite(.serialized) struct FaultTests {
    @Test func aRunSurvivesAKilledWorkerAndTakesInALateOne() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        let workers = try (0..<3).map { _ in try cluster.startWorker(endpoint) }
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        workers[0].signal(SIGKILL)
        try await cluster.wait(forRecorded: TestCluster.masks / 4, by: coordinator)
        _ = try cluster.startWorker(endpoint)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
        #expect(try RunFile.read(at: cluster.runFile).lives().map(\.ending) == ["complete"])
    }

    @Test func aCoordinatorKilledAgainAndAgainGoesOnWhereItWas() async throws {
        let cluster = try TestCluster()
        var coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        _ = try (0..<2).map { _ in try cluster.startWorker(endpoint) }
        var kept: [RecordedEvaluation] = []
        for part in 1...3 {
            try await cluster.wait(forRecorded: part * TestCluster.masks / 6, by: coordinator)
            try await Task.sleep(for: .milliseconds(.random(in: 0...200)))
            coordinator.signal(SIGKILL)
            coordinator.wait()
            let now = try cluster.evaluations()
            #expect(Set(kept.map(\.mask)).isSubset(of: now.map(\.mask)), "what was recorded is lost")
            kept = now
            // The workers find the new coordinator where the old one was.
            coordinator = try cluster.startResume(["--bind", endpoint])
        }
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
        let times = Dictionary(uniqueKeysWithValues: try cluster.evaluations().map { ($0.mask, $0.recorded) })
        #expect(kept.allSatisfy { times[$0.mask] == $0.recorded }, "what was recorded was evaluated again")

        let undisturbed = try TestCluster()
        #expect(try await undisturbed.startRun(undisturbed.localWorkers(2)).exitCode() == 0)
        let ranking = try Data(contentsOf: URL(fileURLWithPath: "\(cluster.report)/ranking.csv"))
        #expect(!ranking.isEmpty)
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(undisturbed.report)/ranking.csv")) == ranking)
    }

    @Test func resumeAloneGoesOnAsTheRunWasStarted() async throws {
        let cluster = try TestCluster()
        var coordinator = try cluster.startRun(["--bind", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0"])
        let endpoint = try await cluster.endpoint(of: coordinator)
        let page = try await coordinator.line(containing: "the live page is at ")
        _ = try cluster.startWorker(endpoint)
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
        let hint = try await coordinator.line(containing: "interrupted; ")
        #expect(hint.contains("'winnow-coordinator resume --run \(cluster.runFile)'"))

        // The same port, so the worker finds it; the same page; the same report.
        coordinator = try cluster.start("winnow-coordinator", ["resume", "--run", cluster.runFile])
        #expect(try await cluster.endpoint(of: coordinator) == endpoint)
        #expect(try await coordinator.line(containing: "the live page is at ").suffix(20) == page.suffix(20))
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
        try cluster.expectRanking()
    }

    @Test func anInterruptedCoordinatorsLocalWorkersEndWithoutAComplaint() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(cluster.localWorkers(2))
        try await cluster.wait(forRecorded: TestCluster.masks / 10, by: coordinator)
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
        #expect(!coordinator.output.contains("nobody listens"), "\(coordinator.output)")
        #expect(!coordinator.output.contains("is silent"), "\(coordinator.output)")
    }

    @Test func aFolderWithoutTestImagesIsEnoughToTrain() async throws {
        let cluster = try TestCluster()
        let output = "\(cluster.folder)/tuned.safetensors"
        let words = [
            "finetune", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--epochs", "1", "--batch-size",
            "32",
            "--local-workers", "1", "--worker-threads", "1", "--worker-cache", "\(cluster.folder)/cache", "--onnx",
            "\(cluster.folder)/tuned.onnx", "--pytorch", "\(cluster.folder)/tuned", "--output",
        ]
        let training = try cluster.start("winnow-coordinator", words + [output])
        #expect(try await training.exitCode() == 0, "\(training.output)")
        #expect(training.output.contains("has no test images: the last \(TestCluster.images / 10) training images"))
        let filters = FilterSpace(try Checkpoint.network(at: output).graph).count
        #expect(filters == FilterSpace(TestCluster.architecture).count)
        for file in ["tuned.onnx", "tuned/__init__.py", "tuned/network.safetensors"] {
            #expect(InputFile.isReadable("\(cluster.folder)/\(file)"))
        }
        // Neither the network that it started from nor its result is overwritten.
        for (name, complaint) in [(cluster.model, "is an input"), (output, "--force")] {
            let again = try cluster.start("winnow-coordinator", words + [name])
            #expect(try await again.exitCode() == 64)
            #expect(again.output.contains(complaint), "\(again.output)")
        }
    }

    @Test func theRunsImagesMayMove() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 200)
        _ = try await cluster.endpoint(of: coordinator)
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
        try FileManager.default.moveItem(atPath: "\(cluster.folder)/data", toPath: "\(cluster.folder)/moved")
        let lost = try cluster.start("winnow-coordinator", ["resume", "--run", cluster.runFile])
        #expect(try await lost.exitCode() == 65)
        #expect(lost.output.contains("give their path with --data"))
        let found = try cluster.startResume(["--data", "\(cluster.folder)/moved"] + cluster.localWorkers(1))
        #expect(try await found.exitCode() == 0)
        try cluster.expectComplete(masks: 200)
    }

    @Test func whatWouldEndInVainDoesNotBegin() async throws {
        let cluster = try TestCluster()
        for (masks, options, complaint) in [
            (4, [], "at least 8"), (20, ["--design", "ablation"], "give --masks 57"),
            (100, ["--report", "\(cluster.model)/report"], "cannot make the folder"),
        ] as [(Int, [String], String)] {
            var words = cluster.runOptions(masks: masks)
            if options.first == "--report", let index = words.firstIndex(of: "--report") {
                words.removeSubrange(index...index + 1)
            }
            let coordinator = try cluster.start("winnow-coordinator", words + options)
            #expect(try await [64, 69].contains(coordinator.exitCode()))
            #expect(coordinator.output.contains(complaint), "\(coordinator.output)")
            #expect(!InputFile.isReadable(cluster.runFile))
        }
    }

    @Test func aStoppedWorkersMasksGoToOthersAndItsLateAnswersHarmNothing() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        let sleeper = try cluster.startWorker(endpoint)
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        sleeper.signal(SIGSTOP)
        try await coordinator.line(containing: "is gone: it was silent")
        _ = try cluster.startWorker(endpoint)
        try await cluster.wait(forRecorded: TestCluster.masks / 3, by: coordinator)
        sleeper.signal(SIGCONT)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
    }

    @Test func aWorkerThatEndsInGoodOrderGivesItsMasksBack() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        let leaver = try cluster.startWorker(endpoint)
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        leaver.signal(SIGTERM)
        #expect(try await leaver.exitCode() == 0)
        try await coordinator.line(containing: " left")
        _ = try cluster.startWorker(endpoint)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
    }

    @Test func aLocalWorkerThatDiesIsStartedAgain() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(cluster.localWorkers(2))
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        kill(try #require(children(of: coordinator.identifier).first), SIGKILL)
        try await coordinator.line(containing: "restarting it")
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
    }

    @Test func localWorkersEndWithAKilledCoordinator() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(cluster.localWorkers(2))
        try await cluster.wait(forRecorded: 10, by: coordinator)
        let workers = children(of: coordinator.identifier)
        #expect(workers.count == 2)
        coordinator.signal(SIGKILL)
        coordinator.wait()
        try await waitUntil("the workers end", seconds: 20) { workers.allSatisfy { hasEnded($0) } }
    }

    @Test func anInterruptedRunIsResumed() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(cluster.localWorkers(1))
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        coordinator.signal(SIGINT)
        #expect(try await coordinator.exitCode() == 130)
        #expect(coordinator.output.contains("winnow-coordinator resume --run \(cluster.runFile)"))
        let count = try cluster.evaluations().count
        #expect(count >= TestCluster.masks / 8 && count < TestCluster.masks)
        let resumed = try cluster.startResume(cluster.localWorkers(1))
        #expect(try await resumed.exitCode() == 0)
        try cluster.expectComplete()
        #expect(try RunFile.read(at: cluster.runFile).lives().map(\.ending) == ["interrupted", "complete"])
    }

    @Test func aWorkerServesOneRunAfterTheOther() async throws {
        let cluster = try TestCluster()
        let first = try cluster.startRun(masks: 60)
        let endpoint = try await cluster.endpoint(of: first)
        let worker = try cluster.startWorker(endpoint)
        #expect(try await first.exitCode() == 0)
        try FileManager.default.removeItem(atPath: cluster.runFile)
        let second = try cluster.startRun(masks: 80, ["--bind", endpoint])
        #expect(try await second.exitCode() == 0)
        try cluster.expectComplete(masks: 80)
        worker.signal(SIGTERM)
        #expect(try await worker.exitCode() == 0)
    }

    /// A process's children.
    private func children(of parent: pid_t) -> [pid_t] {
        let path = "/proc/\(parent)/task/\(parent)/children"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { pid_t($0) }
    }

    /// Whether a process is gone, or only waits for its new parent to reap it.
    private func hasEnded(_ process: pid_t) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return true }
        return text.contains(") Z ")
    }
}
