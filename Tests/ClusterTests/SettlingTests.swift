import Foundation
import Shared
import Testing

@testable import Coordinator

/// Runs that stop when their ranking is reliable enough, and runs that are extended, with real processes.
struct SettlingTests {
    private func ranking(_ cluster: TestCluster) throws -> Data {
        try Data(contentsOf: URL(filePath: "\(cluster.report)/ranking.csv"))
    }

    private func masks(_ cluster: TestCluster) throws -> Int {
        try RunFile.read(at: cluster.runFile).description.ensemble.count
    }

    @Test func aRunEndsWhenItHasSettledAfterTheSameMasksHoweverTheWorkWasSpread() async throws {
        let (alone, shared) = (try TestCluster(), try TestCluster())
        let options = ["--until-reliability", "0.8"]
        let one = try alone.startRun(options + alone.localWorkers(1))
        #expect(try await one.exitCode() == 0, "\(one.output)")
        let settled = try masks(alone)
        #expect((100..<TestCluster.masks).contains(settled), "\(one.output)")
        #expect(one.output.contains("has settled"))
        try alone.expectComplete(masks: settled)

        let first = try shared.startRun(options + shared.localWorkers(2))
        try await shared.wait(forRecorded: 64, by: first)
        first.signal(SIGKILL)
        first.wait()
        let second = try shared.startResume(shared.localWorkers(2))
        #expect(try await second.exitCode() == 0, "\(second.output)")
        #expect(try masks(shared) == settled)
        #expect(try ranking(shared) == ranking(alone))

        // A higher target resumes from there.
        let third = try alone.startResume(["--until-reliability", "0.9"] + alone.localWorkers(2))
        #expect(try await third.exitCode() == 0, "\(third.output)")
        let later = try masks(alone)
        #expect(later > settled)
        try alone.expectComplete(masks: later)
        let status = try alone.start("winnow-coordinator", ["status", "--run", alone.runFile])
        #expect(try await status.exitCode() == 0)
        #expect(status.output.contains("complete") || status.output.contains("\(later) of \(later)"))
    }

    @Test func anExtendedRunIsTheRunThatHadAsManyMasksFromTheStart() async throws {
        let (extended, whole) = (try TestCluster(), try TestCluster())
        for (cluster, masks) in [(extended, 200), (whole, 456)] {
            let run = try cluster.startRun(masks: masks, cluster.localWorkers(1))
            #expect(try await run.exitCode() == 0, "\(run.output)")
        }
        let fewer = try extended.startResume(["--masks", "199"] + extended.localWorkers(1))
        #expect(try await fewer.exitCode() == 64)
        let more = try extended.startResume(["--masks", "456"] + extended.localWorkers(1))
        #expect(try await more.exitCode() == 0, "\(more.output)")
        try extended.expectComplete(masks: 456)
        #expect(try ranking(extended) == ranking(whole))
    }
}
