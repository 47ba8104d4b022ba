import Foundation
import TestSupport
import Testing

@testable import Coordinator
@testable import Shared

/// Peers that are hostile, from another release, or without the right key.
@Suite(.serialized) struct PeerTests {
    @Test func aFloodOfNonsenseDoesNotDisturbARun() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 400)
        let endpoint = try await cluster.endpoint(of: coordinator)
        let context = try Context()
        var generator = SeededGenerator(seed: 3)
        let hello = WorkerMessage.hello(
            .init(
                worker: WorkerID(high: 1, low: 1), incarnation: 1, host: "evil\u{1B}[2J", threads: 1,
                instructionSet: "none", programVersion: "0"))
        let invented = WorkerMessage.answer(
            .init(
                run: RunID(high: 0, low: 0), lease: LeaseID(life: 1, number: 1), computeMicroseconds: 1,
                evaluations: (0..<100).map { MaskEvaluation(mask: $0, evaluation: Evaluation(images: 1)) }))
        _ = try cluster.startWorker(endpoint)
        for round in 0..<20 {
            let socket = try Socket(.dealer, in: context)
            try socket.connect(to: endpoint)
            if round % 2 == 0 { _ = try socket.send(hello.encoded()) }
            for _ in 0..<200 {
                var bytes = (0..<Int.random(in: 0..<300, using: &generator)).map { _ in
                    UInt8.random(in: .min ... .max, using: &generator)
                }
                if round % 3 == 0 { bytes = Array(hello.encoded().dropLast(bytes.count % 60)) + bytes }
                _ = try socket.send(bytes)
            }
            if round % 5 == 0 { _ = try socket.send([UInt8](repeating: 0, count: Wire.messageBytesMax + 1)) }
            _ = try socket.send(invented.encoded())
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 400)
        #expect(!coordinator.output.contains("\u{1B}"), "a peer's text must not reach the terminal as it is")
    }

    /// The keys of a coordinator and of three workers, in a folder.
    private func makeKeys(_ cluster: TestCluster) async throws -> (folder: String, options: [String]) {
        let keys = "\(cluster.folder)/keys"
        #expect(try await cluster.start("winnow-coordinator", ["keygen", "--output", keys]).exitCode() == 0)
        for name in ["second", "liar"] {
            let keygen = try cluster.start("winnow-coordinator", ["keygen", "--output", keys, "--worker-only", name])
            #expect(try await keygen.exitCode() == 0)
        }
        let admitted = ["worker", "second", "liar"].flatMap { ["--admit", "\(keys)/\($0).pub"] }
        return (keys, ["--bind", "tcp://127.0.0.1:0", "--key-file", "\(keys)/coordinator.key"] + admitted)
    }

    /// A worker that answers at once with made-up losses.
    private func startLiar(_ endpoint: String, _ keys: String) throws -> LightWorker {
        let security = SocketOptions.Security.client(
            try KeyFile.secretKey(at: "\(keys)/liar.key"), server: try KeyFile.publicKey(at: "\(keys)/coordinator.pub"))
        return try LightWorker(endpoint, security: security)
    }

    @Test func aWorkerThatLiesIsDismissedAndItsMasksAreEvaluatedAgain() async throws {
        let cluster = try TestCluster()
        let masks = 1200
        let (keys, options) = try await makeKeys(cluster)
        let coordinator = try cluster.startRun(masks: masks, options + ["--verify-share", "0.3"])
        let endpoint = try await cluster.endpoint(of: coordinator)
        let liars = try (0..<3).map { _ in try startLiar(endpoint, keys) }
        defer { for liar in liars { liar.stop() } }
        try await cluster.wait(forRecorded: masks / 2, by: coordinator)
        for name in ["worker", "second"] {
            let own = ["--key-file", "\(keys)/\(name).key", "--server-key-file", "\(keys)/coordinator.pub"]
            _ = try cluster.startWorker(endpoint, own)
        }
        #expect(try await coordinator.exitCode() == 0)
        #expect(coordinator.output.contains("dismissed: its evaluations differ from those of others"))
        try cluster.expectComplete(masks: masks)
        for worker in try RunFile.read(at: cluster.runFile).workers() {
            #expect(worker.host != "light" || worker.evaluations == 0)
            #expect(worker.host == "light" || worker.dismissed == nil)
        }
    }

    @Test func aLoneLiarIsFoundByDefault() async throws {
        let cluster = try TestCluster()
        let (keys, options) = try await makeKeys(cluster)
        let coordinator = try cluster.startRun(masks: 400, options)
        let endpoint = try await cluster.endpoint(of: coordinator)
        let liar = try startLiar(endpoint, keys)
        defer { liar.stop() }
        try await coordinator.line(containing: "starting a worker here, to verify", seconds: 30)
        try await coordinator.line(containing: "dismissed: its evaluations differ", seconds: 30)
        let own = ["--key-file", "\(keys)/worker.key", "--server-key-file", "\(keys)/coordinator.pub"]
        _ = try cluster.startWorker(endpoint, own)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 400)
    }

    @Test func nobodyElseTakesPartInARunOfLocalWorkers() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 3000, cluster.localWorkers(1))
        let endpoint = try await cluster.endpoint(of: coordinator)
        let liar = try LightWorker(endpoint)
        defer { liar.stop() }
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 3000)
        #expect(try RunFile.read(at: cluster.runFile).workers().allSatisfy { $0.host != "light" })
    }

    @Test func aMessageThatNeverEndsTakesNoMemoryWithoutEnd() async throws {
        let cluster = try TestCluster()
        let masks = 2000
        let coordinator = try cluster.startRun(masks: masks)
        let endpoint = try await cluster.endpoint(of: coordinator)
        let port = try #require(UInt16(endpoint.split(separator: ":").last ?? ""))
        let frame = [UInt8](repeating: 7, count: 1 << 20)
        let peer = try RawPeer(port: port)
        var most = 0
        for _ in 0..<2500 {
            guard peer.sendMore(frame) else { break }
            most = max(most, residentBytes(of: coordinator.identifier))
        }
        #expect(most > 300 << 20, "the attack reaches the coordinator")
        #expect(most < 1500 << 20)
        try await coordinator.line(containing: "closing all connections", seconds: 20)
        _ = try cluster.startWorker(endpoint)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: masks)
    }

    private func residentBytes(of process: pid_t) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
    }

    @Test func aWorkerOfAnotherVersionIsTold() async throws {
        let cluster = try TestCluster()
        let coordinator = try cluster.startRun(masks: 50)
        let endpoint = try await cluster.endpoint(of: coordinator)
        let context = try Context()
        let socket = try Socket(.dealer, in: context)
        try socket.connect(to: endpoint)
        _ = try socket.send(otherVersion(WorkerMessage.goodbye(keeping: []).encoded()))
        try await coordinator.line(containing: "wire version \(Wire.version + 1)")
        var answer: CoordinatorMessage?
        try await waitUntil("an answer comes") {
            answer = try socket.receive()?.frames.first.map { try CoordinatorMessage(decoding: $0) }
            return answer != nil
        }
        guard case .dismissed(let reason) = answer else {
            Issue.record("not dismissed but \(String(describing: answer))")
            return
        }
        #expect(reason.contains("version"))
        _ = try cluster.startWorker(endpoint)
        #expect(try await coordinator.exitCode() == 0)
    }

    @Test func aCoordinatorOfAnotherVersionIsTold() async throws {
        let cluster = try TestCluster()
        let context = try Context()
        let socket = try Socket(.router, in: context)
        try socket.bind(to: "tcp://127.0.0.1:0")
        let worker = try cluster.startWorker(try socket.lastEndpoint())
        var peer: [UInt8]?
        try await waitUntil("the worker says hello") {
            peer = try socket.receive()?.frames.first
            return peer != nil
        }
        _ = try socket.send(otherVersion(CoordinatorMessage.introduce.encoded()), to: try #require(peer))
        #expect(try await worker.exitCode() == 69)
        #expect(worker.output.contains("install the same release"))
    }

    /// A message as the next version of the protocol would send it.
    private func otherVersion(_ message: [UInt8]) -> [UInt8] {
        var body = Array(message.dropLast(Wire.trailerBytes))
        body[4] = UInt8(Wire.version + 1)
        let sum = body.withUnsafeBytes { Checksum.of($0) }
        return body + withUnsafeBytes(of: sum.littleEndian) { Array($0) }
    }

    @Test func onlyAdmittedKeysTakePart() async throws {
        let cluster = try TestCluster()
        let keys = "\(cluster.folder)/keys"
        let keygen = try cluster.start("winnow-coordinator", ["keygen", "--output", keys])
        #expect(try await keygen.exitCode() == 0)
        let stranger = try cluster.start(
            "winnow-coordinator", ["keygen", "--output", keys, "--worker-only", "stranger"])
        #expect(try await stranger.exitCode() == 0)

        let coordinator = try cluster.startRun(
            masks: 100,
            [
                "--bind", "tcp://127.0.0.1:0", "--key-file", "\(keys)/coordinator.key", "--admit",
                "\(keys)/worker.pub", "--verify-share", "0",
            ])
        let endpoint = try await cluster.endpoint(of: coordinator)
        let server = ["--server-key-file", "\(keys)/coordinator.pub"]

        let unlisted = try cluster.startWorker(endpoint, ["--key-file", "\(keys)/stranger.key"] + server)
        try await unlisted.line(containing: "does not admit this worker's key", seconds: 20)
        try await coordinator.line(containing: "is not admitted", seconds: 20)
        let confused = try cluster.startWorker(
            endpoint, ["--key-file", "\(keys)/worker.key", "--server-key-file", "\(keys)/stranger.pub"])
        try await confused.line(containing: "is probably not this coordinator's", seconds: 20)
        let plain = try cluster.startWorker(endpoint)
        try await plain.line(containing: "keys (--key-file", seconds: 20)
        #expect(try cluster.evaluations().isEmpty)
        for worker in [unlisted, confused, plain] { #expect(!worker.output.contains("nobody listens")) }

        _ = try cluster.startWorker(endpoint, ["--key-file", "\(keys)/worker.key"] + server)
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 100)
        #expect(try RunFile.read(at: cluster.runFile).workers().count == 1)
    }

    @Test func localWorkersGetInWithAKeyOfTheirOwn() async throws {
        let cluster = try TestCluster()
        let keys = "\(cluster.folder)/keys"
        #expect(try await cluster.start("winnow-coordinator", ["keygen", "--output", keys]).exitCode() == 0)
        let coordinator = try cluster.startRun(
            masks: 50, ["--key-file", "\(keys)/coordinator.key"] + cluster.localWorkers(1))
        #expect(try await coordinator.exitCode() == 0)
        try cluster.expectComplete(masks: 50)
    }

    @Test func aSecretKeyThatOthersCanReadIsRefused() async throws {
        let cluster = try TestCluster()
        let keys = "\(cluster.folder)/keys"
        #expect(try await cluster.start("winnow-coordinator", ["keygen", "--output", keys]).exitCode() == 0)
        chmod("\(keys)/worker.key", 0o644)
        let worker = try cluster.startWorker(
            "tcp://127.0.0.1:9", ["--key-file", "\(keys)/worker.key", "--server-key-file", "\(keys)/coordinator.pub"])
        #expect(try await worker.exitCode() == 65)
        #expect(worker.output.contains("chmod 600"))
    }
}
