import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Two hosts, as network namespaces, and the line between them.
private final class TwoHosts {
    /// Whether this system lets us create them: it takes root and iproute2.
    static let arePossible: Bool = {
        let probe = "winnow-probe-\(getpid())"
        guard getuid() == 0, run("ip", "netns", "add", probe) else { return false }
        defer { run("ip", "netns", "del", probe) }
        let link = "wp\(getpid())"
        return run("ip", "-n", probe, "link", "add", link, "type", "veth", "peer", "name", "\(link)b")
    }()

    /// Whether the kernel can delay packets.
    private static let hasDelays = canSet("netem", "loss", "1%")

    /// Whether the kernel can lose packets: with its emulator of networks, or with a filter.
    static let canLose = hasDelays || canSet("tbf", "rate", "8mbit", "burst", "8kb", "latency", "200ms")

    private static func canSet(_ discipline: String...) -> Bool {
        guard arePossible else { return false }
        let probe = "winnow-queue-\(getpid())"
        run("ip", "netns", "add", probe)
        defer { run("ip", "netns", "del", probe) }
        let tc = ["ip", "netns", "exec", probe, "tc"]
        guard run(tc + ["qdisc", "add", "dev", "lo", "root"] + discipline) else { return false }
        return run(tc + ["qdisc", "add", "dev", "lo", "ingress"]) && run(tc + filter(on: "lo", dropping: 0.5))
    }

    /// One end of the line.
    struct End {
        let host: String
        let device: String
    }

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

    /// Cuts the line, or restores it. Connections do not learn of it and wait.
    func setLine(isUp: Bool) { Self.run("ip", "-n", worker, "link", "set", "wb", isUp ? "up" : "down") }

    var coordinatorsEnd: End { End(host: coordinator, device: "wa") }
    var workersEnd: End { End(host: worker, device: "wb") }

    /// Makes the line lose and delay packets, both ways. If the kernel cannot delay them directly, the line is slow and
    /// packets queue.
    func disturb() throws {
        for end in [coordinatorsEnd, workersEnd] {
            let queue =
                Self.hasDelays
                ? ["netem", "delay", "40ms", "20ms"] : ["tbf", "rate", "8mbit", "burst", "8kb", "latency", "200ms"]
            try #require(Self.run(tc(end) + ["qdisc", "replace", "dev", end.device, "root"] + queue))
            try lose(0.05, at: end)
        }
    }

    /// Loses a share of the packets that arrive at an end: with 1 the line is cut one way only.
    func lose(_ share: Double, at end: End) throws {
        try #require(Self.run(tc(end) + ["qdisc", "add", "dev", end.device, "ingress"]))
        try #require(Self.run(tc(end) + Self.filter(on: end.device, dropping: share)))
    }

    /// Loses nothing more at an end.
    func mend(_ end: End) throws { try #require(Self.run(tc(end) + ["qdisc", "del", "dev", end.device, "ingress"])) }

    private func tc(_ end: End) -> [String] { ["ip", "netns", "exec", end.host, "tc"] }

    /// `tc`'s words for a BPF program that drops a packet when a random word is not below a limit:
    /// load the word; compare; return TC_ACT_SHOT; return TC_ACT_OK.
    private static func filter(on device: String, dropping share: Double) -> [String] {
        let limit = UInt32((1 - share) * Double(UInt32.max))
        let program = "4,32 0 0 4294963256,53 0 1 \(limit),6 0 0 2,6 0 0 0"
        return ["filter", "add", "dev", device, "ingress", "bpf", "direct-action", "bytecode", program]
    }

    @discardableResult
    static func run(_ command: String...) -> Bool { run(command) }

    @discardableResult
    static func run(_ command: [String]) -> Bool {
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

    @Test(.enabled(if: TwoHosts.canLose, "loss and delay need root, iproute2 and the kernel's BPF filters"))
    func aRunEndsOverALineThatLosesAndDelays() async throws {
        let cluster = try TestCluster()
        let hosts = try TwoHosts()
        try hosts.disturb()
        let coordinator = try await start(cluster, on: hosts, masks: 600)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 600)
    }

    /// Half a second there and back, and more or less of it from one message to the next.
    @Test func aRunEndsOverALongLine() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 600)
        let relay = try DelayingRelay(to: await cluster.endpoint(of: coordinator), milliseconds: 100...400)
        for _ in 0..<2 { _ = try cluster.startWorker(relay.endpoint) }
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 600)
        // Everything that the workers have came over it.
        #expect(relay.bytesPassed > 2 * TestCluster.images * CIFAR10.layout.imageBytes)
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

    /// One side's messages are lost while the other's arrive: neither may wait for ever.
    @Test(
        .enabled(if: TwoHosts.canLose, "one-way cuts need root, iproute2 and the kernel's BPF filters"),
        arguments: ["coordinator", "worker"]) func aRunGoesOnAfterOneSideWasDeaf(side: String) async throws
    {
        let cluster = try TestCluster()
        let hosts = try TwoHosts()
        let coordinator = try await start(cluster, on: hosts, masks: TestCluster.masks)
        try await cluster.wait(forRecorded: TestCluster.masks / 8, by: coordinator)
        let deaf = side == "coordinator" ? hosts.coordinatorsEnd : hosts.workersEnd
        try hosts.lose(1, at: deaf)
        try await coordinator.line(containing: "is gone: ")
        #expect(try cluster.evaluations().count < TestCluster.masks)
        try hosts.mend(deaf)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete()
    }
}
