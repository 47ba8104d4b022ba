import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Two hosts, as network namespaces, and the line between them.
private final class TwoHosts {
    /// Whether this system lets us make them: it takes root and iproute2.
    static let arePossible: Bool = {
        let probe = "winnow-probe-\(getpid())"
        guard getuid() == 0, run("ip", "netns", "add", probe) else { return false }
        defer { run("ip", "netns", "del", probe) }
        let link = "wp\(getpid())"
        return run("ip", "-n", probe, "link", "add", link, "type", "veth", "peer", "name", "\(link)b")
    }()

    /// Whether the kernel can lose and delay packets.
    static let canDisturb: Bool = {
        guard arePossible else { return false }
        let probe = "winnow-netem-\(getpid())"
        run("ip", "netns", "add", probe)
        defer { run("ip", "netns", "del", probe) }
        return run("ip", "netns", "exec", probe, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%")
    }()

    let coordinator: String
    let worker: String
    let address = "10.201.77.1"

    init() throws {
        let name = "w\(UInt32.random(in: .min ... .max))"
        coordinator = "\(name)-a"
        worker = "\(name)-b"
        for (host, end, address) in [(coordinator, "wa", address), (worker, "wb", "10.201.77.2")] {
            try #require(Self.run("ip", "netns", "add", host))
            if host == worker {
                try #require(
                    Self.run(
                        "ip", "-n", coordinator, "link", "add", "wa", "type", "veth", "peer", "name", "wb", "netns",
                        host))
                Self.run("ip", "-n", coordinator, "addr", "add", "\(self.address)/24", "dev", "wa")
                Self.run("ip", "-n", coordinator, "link", "set", "wa", "up")
                Self.run("ip", "-n", host, "addr", "add", "\(address)/24", "dev", end)
                Self.run("ip", "-n", host, "link", "set", end, "up")
            }
            Self.run("ip", "-n", host, "link", "set", "lo", "up")
        }
    }

    deinit {
        Self.run("ip", "netns", "del", coordinator)
        Self.run("ip", "netns", "del", worker)
    }

    /// Cuts the line, or mends it. Connections are not told of it and wait.
    func setLine(isUp: Bool) { Self.run("ip", "-n", worker, "link", "set", "wb", isUp ? "up" : "down") }

    /// Makes the line lose and delay packets, both ways.
    func disturb() {
        for (host, end) in [(coordinator, "wa"), (worker, "wb")] {
            Self.run(
                "ip", "netns", "exec", host, "tc", "qdisc", "replace", "dev", end, "root", "netem", "delay", "40ms",
                "20ms",
                "loss", "5%")
        }
    }

    @discardableResult
    static func run(_ command: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

/// Hosts whose network loses, delays and cuts.
@Suite(.serialized) struct NetworkFaultTests {
    private func start(_ cluster: TestCluster, on hosts: TwoHosts, masks: Int) async throws -> TestProcess {
        let coordinator = try cluster.start(
            "winnow-coordinator",
            cluster.runOptions(masks: masks) + ["--bind", "tcp://\(hosts.address):0", "--insecure"],
            prefix: ["ip", "netns", "exec", hosts.coordinator])
        let endpoint = try await cluster.endpoint(of: coordinator)
        _ = try cluster.start(
            "winnow-worker",
            ["serve", "--connect", endpoint, "--threads", "1", "--cache", "\(cluster.folder)/cache"],
            prefix: ["ip", "netns", "exec", hosts.worker])
        return coordinator
    }

    @Test(.enabled(if: TwoHosts.canDisturb, "loss and delay need root, iproute2 and the kernel's netem"))
    func aRunEndsOverALineThatLosesAndDelays() async throws {
        let cluster = try TestCluster()
        let hosts = try TwoHosts()
        hosts.disturb()
        let coordinator = try await start(cluster, on: hosts, masks: 600)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 600)
    }

    @Test(.enabled(if: TwoHosts.arePossible, "network namespaces need root and iproute2"))
    func aRunGoesOnWhenAPartitionHeals() async throws {
        let cluster = try TestCluster()
        let hosts = try TwoHosts()
        let coordinator = try await start(cluster, on: hosts, masks: TestCluster.masks)
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        hosts.setLine(isUp: false)
        try await coordinator.line(containing: "is gone: it was silent")
        let during = try cluster.evaluations().count
        hosts.setLine(isUp: true)
        #expect(during < TestCluster.masks)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
    }
}
