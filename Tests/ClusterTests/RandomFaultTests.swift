import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Real processes killed and stopped at random moments. The moments follow from a seed, the test's argument;
/// `WINNOW_FAULT_SEED=N ./test RandomFaultTests` repeats one.
@Suite(.serialized) struct RandomFaultTests {
    private static let seeds: [UInt64] = {
        guard let text = ProcessInfo.processInfo.environment["WINNOW_FAULT_SEED"] else {
            return (0..<2).map { _ in .random(in: 0..<1_000_000) }
        }
        guard let seed = UInt64(text) else { preconditionFailure("WINNOW_FAULT_SEED is no number: \(text)") }
        return [seed]
    }()

    private static let workers = 3

    /// A fault of a process.
    private struct Fault: CustomStringConvertible {
        enum Kind: CaseIterable { case killCoordinator, killWorker, stopWorker }

        let kind: Kind
        let worker: Int
        /// It strikes this many milliseconds after so many masks are recorded.
        let masks: Int
        let milliseconds: Int
        /// After this a killed process is restarted; a stopped one continues when the next fault strikes.
        let pauseMilliseconds: Int

        init(using generator: inout SeededGenerator) {
            kind = Kind.allCases.randomElement(using: &generator) ?? .killWorker
            worker = .random(in: 0..<RandomFaultTests.workers, using: &generator)
            masks = .random(in: 0..<TestCluster.masks, using: &generator)
            milliseconds = .random(in: 0...150, using: &generator)
            pauseMilliseconds = .random(in: 0...400, using: &generator)
        }

        var description: String { "\(kind) \(worker) \(milliseconds) ms after \(masks) masks" }
    }

    @Test(arguments: seeds) func aRunSurvivesWhateverDiesWhenever(seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        let faults = (0..<8).map { _ in Fault(using: &generator) }.sorted { $0.masks < $1.masks }
        print("WINNOW_FAULT_SEED=\(seed): \(faults)")
        let cluster = try TestCluster()
        var coordinator = try cluster.startRun()
        let endpoint = try await cluster.endpoint(of: coordinator)
        func startWorker(_ index: Int) throws -> TestProcess {
            // With its predecessor's cache, in whatever state.
            try cluster.start(
                "winnow-worker",
                ["serve", "--connect", endpoint, "--threads", "1", "--cache", "\(cluster.folder)/cache-of-\(index)"])
        }
        var workers = try (0..<Self.workers).map(startWorker)
        var kept: [RecordedEvaluation] = []
        for fault in faults {
            try await waitUntil("\(fault.masks) masks are recorded\n\(coordinator.output)") {
                (try? RunFile.read(at: cluster.runFile).evaluationCount()) ?? 0 >= fault.masks || !coordinator.isRunning
            }
            try await Task.sleep(for: .milliseconds(fault.milliseconds))
            for worker in workers { worker.signal(SIGCONT) }
            switch fault.kind {
            case .killCoordinator:
                coordinator.signal(SIGKILL)
                coordinator.wait()
                let now = try cluster.evaluations()
                #expect(Set(kept.map(\.mask)).isSubset(of: now.map(\.mask)), "what was recorded is lost")
                kept = now
                try await Task.sleep(for: .milliseconds(fault.pauseMilliseconds))
                coordinator = try cluster.startResume(["--bind", endpoint])
            case .killWorker:
                workers[fault.worker].signal(SIGKILL)
                workers[fault.worker].wait()
                try await Task.sleep(for: .milliseconds(fault.pauseMilliseconds))
                workers[fault.worker] = try startWorker(fault.worker)
            case .stopWorker: workers[fault.worker].signal(SIGSTOP)
            }
        }
        for worker in workers { worker.signal(SIGCONT) }
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
        let times = Dictionary(uniqueKeysWithValues: try cluster.evaluations().map { ($0.mask, $0.recorded) })
        #expect(kept.allSatisfy { times[$0.mask] == $0.recorded }, "what was recorded was evaluated again")
        try cluster.expectRanking()
    }

    /// A death in the first moments leaves either no run at all or one that can be resumed.
    @Test(arguments: seeds) func aCoordinatorThatDiesWhileItStartsLeavesNothingInTheWay(seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        for attempt in 0..<8 {
            let cluster = try TestCluster()
            let coordinator = try cluster.startRun(masks: 40, cluster.localWorkers(1))
            // Every second time it is about to write.
            while attempt % 2 == 1, coordinator.isRunning, !hasTrace(of: cluster.runFile) {
                try await Task.sleep(for: .microseconds(200))
            }
            let milliseconds = Int.random(in: 0...(attempt % 2 == 1 ? 20 : 200), using: &generator)
            try await Task.sleep(for: .milliseconds(milliseconds))
            coordinator.signal(SIGKILL)
            coordinator.wait()
            let exists = FileManager.default.fileExists(atPath: cluster.runFile)
            print(
                "WINNOW_FAULT_SEED=\(seed): attempt \(attempt), killed after \(milliseconds) ms, a run file: \(exists)")
            let next =
                exists
                ? try cluster.startResume(cluster.localWorkers(1))
                : try cluster.startRun(masks: 40, cluster.localWorkers(1))
            #expect(try await next.exitCode() == 0, "\(next.output)")
            try cluster.expectComplete(masks: 40)
        }
    }

    /// Whether a file, or an unfinished version of it, exists.
    private func hasTrace(of path: String) -> Bool {
        let (folder, name) = ((path as NSString).deletingLastPathComponent, (path as NSString).lastPathComponent)
        return (try? FileManager.default.contentsOfDirectory(atPath: folder))?.contains { $0.hasPrefix(name) } ?? false
    }
}
