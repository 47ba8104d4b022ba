import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// `compress` with real processes that are killed at its stages, and its results.
@Suite(.serialized) struct CompressionTests {
    private static let masks = 4_000
    private static let testImages = 64

    /// The images and the folder of one compression.
    private final class Compression {
        let cluster: TestCluster
        var folder: String { "\(cluster.folder)/compression" }

        init() throws {
            cluster = try TestCluster()
            var generator = SeededGenerator(seed: 13)
            let images = ImageSet.random(CompressionTests.testImages, using: &generator)
            try Data(CIFAR10.records(of: images)).write(
                to: URL(fileURLWithPath: "\(cluster.folder)/data/test_batch.bin"))
        }

        func start(_ more: [String]) throws -> TestProcess {
            try cluster.start(
                "winnow-coordinator",
                [
                    "compress", "--anyway", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--folder",
                    folder,
                    "--masks", "\(CompressionTests.masks)", "--images", "\(TestCluster.images)",
                    "--calibration-images", "32", "--seed", "5", "--remove-flops", "0.5", "--remove-parameters", "0.3",
                    "--keep-at-least", "0", "--rounds", "2", "--epochs-between", "2", "--epochs", "40",
                    "--batch-size", "16", "--masks-per-lease", "32",
                ] + more)
        }

        /// Compresses to an accuracy on a third of the training images.
        func startKeeping(_ percent: String, _ more: [String]) throws -> TestProcess {
            try cluster.start(
                "winnow-coordinator",
                [
                    "compress", "--anyway", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--folder",
                    folder, "--masks", "200", "--images", "48", "--calibration-images", "32", "--seed", "5",
                    "--min-accuracy", percent, "--validation-images", "32", "--remove-per-round", "0.3", "--rounds",
                    "3",
                    "--epochs-between", "1", "--epochs", "6", "--batch-size", "16",
                ] + more)
        }

        /// The rows of `curve.csv`, each by its columns' names.
        func rows() throws -> [[String: String]] {
            let lines = String(decoding: try file("curve.csv"), as: UTF8.self).split(separator: "\n")
                .map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
            return lines.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(lines[0], $0)) }
        }

        func file(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")) }

        /// Waits until a round's run file has so many evaluations.
        func wait(forRecorded count: Int, round: Int, by process: TestProcess) async throws {
            try await waitUntil("\(count) masks are recorded\n\(process.output)") {
                let run = try? RunFile.read(at: "\(folder)/round-\(round)/ranking.winnow")
                return (try? run?.evaluationCount()) ?? 0 >= count || !process.isRunning
            }
            #expect(process.isRunning, "it is over too early for this test:\n\(process.output)")
        }
    }

    private static let results = ["compressed.safetensors", "curve.csv", "curve.json"]

    @Test func trainingImagesStandInForTestImagesThatAreNotThere() async throws {
        let cluster = try TestCluster()
        let folder = "\(cluster.folder)/compression"
        let options = [
            "compress", "--anyway", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--folder", folder,
            "--masks", "100", "--remove-flops", "0.3", "--epochs", "1", "--batch-size", "16",
        ]
        let process = try cluster.start("winnow-coordinator", options + cluster.localWorkers(1))
        #expect(try await process.exitCode(seconds: 300) == 0, "\(process.output)")
        #expect(process.output.contains("has no test images: the last 9 training images are held out of training"))
        // Neither ranking nor training sees them.
        let run = try RunFile.read(at: "\(folder)/round-1/ranking.winnow")
        #expect(run.description.settings.images == TestCluster.images - 9)
        struct Curve: Decodable {
            struct Point: Decodable { var testImages: Int }
            var points: [Point]
        }
        let curve = try JSONDecoder().decode(
            Curve.self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/curve.json")))
        #expect(curve.points.count > 3 && curve.points.allSatisfy { $0.testImages == 9 })
    }

    @Test func aCompressionKilledAtAnyStageEndsWithTheSameBits() async throws {
        let calm = try Compression()
        let undisturbed = try calm.start(calm.cluster.localWorkers(2))
        #expect(try await undisturbed.exitCode(seconds: 300) == 0, "\(undisturbed.output)")

        let disturbed = try Compression()
        var process = try disturbed.start(["--bind", "tcp://127.0.0.1:0"])
        let endpoint = try await disturbed.cluster.endpoint(of: process)
        // One worker, as if on another host, ranks and trains in turn and survives every coordinator.
        let worker = try disturbed.cluster.startWorker(endpoint)
        func restart() throws { process = try disturbed.start(["--bind", endpoint]) }
        try await disturbed.wait(forRecorded: Self.masks / 4, round: 1, by: process)
        process.signal(SIGKILL)
        process.wait()
        try restart()
        try await process.line(containing: "masks are evaluated already")
        try await process.line(containing: "round 1 of 2: pruning", seconds: 120)
        process.signal(SIGKILL)
        process.wait()
        try restart()
        try await disturbed.wait(forRecorded: Self.masks / 4, round: 2, by: process)
        process.signal(SIGINT)
        #expect(try await process.exitCode() == 130)
        #expect(process.output.contains("resume with"))
        try restart()
        try await process.line(containing: "epoch 3/40", seconds: 120)
        process.signal(SIGKILL)
        process.wait()
        try restart()
        #expect(try await process.exitCode(seconds: 300) == 0, "\(process.output)")
        #expect(!process.output.contains("epoch 1/40"), "epochs that were over were trained again")
        #expect(worker.isRunning)
        for name in Self.results { #expect(try disturbed.file(name) == calm.file(name), "\(name) differs") }

        try await expectWhatWasAskedFor(calm)
    }

    @Test func anAccuracyIsKeptForAsManyRoundsAsItHolds() async throws {
        let calm = try Compression()
        let undisturbed = try calm.startKeeping("0", calm.cluster.localWorkers(2))
        #expect(try await undisturbed.exitCode(seconds: 300) == 0, "\(undisturbed.output)")
        #expect(undisturbed.output.contains("target: at least 0.00 %"))
        // Every network meets a target of 0 %: three rounds, each removing 30 % of what it finds, and the last
        // at length.
        let rows = try calm.rows().filter { $0["finetuned"] == "yes" }
        #expect(rows.compactMap { $0["epochs"] } == ["1", "1", "1", "6"])
        #expect(rows.compactMap { $0["round"] } == ["1", "2", "3", "3"])
        for (row, share) in zip(rows, [0.3, 0.51, 0.657, 0.657]) {
            #expect(try #require(row["flops_removed"].flatMap(Double.init)) >= share - 1e-3)
            #expect(try #require(row["validation_accuracy"].flatMap(Double.init)) >= 0)
        }
        let page = String(decoding: try calm.file("report.html"), as: UTF8.self)
        #expect(page.contains("Accuracy kept") && page.contains("the result"))

        let disturbed = try Compression()
        var process = try disturbed.startKeeping("0", disturbed.cluster.localWorkers(2))
        try await process.line(containing: "round 3: fine-tuning at length", seconds: 200)
        process.signal(SIGKILL)
        process.wait()
        process = try disturbed.startKeeping("0", disturbed.cluster.localWorkers(2))
        #expect(try await process.exitCode(seconds: 200) == 0, "\(process.output)")
        for name in Self.results { #expect(try disturbed.file(name) == calm.file(name), "\(name) differs") }
    }

    @Test func anAccuracyThatTheFirstRoundLosesIsNamed() async throws {
        let compression = try Compression()
        let process = try compression.startKeeping("100", compression.cluster.localWorkers(2))
        #expect(try await process.exitCode(seconds: 200) == 64)
        #expect(process.output.contains("already falls below 100.00 %"))
        // It got the long fine-tuning before it was rejected, and the report shows that.
        #expect(try compression.rows().filter { $0["finetuned"] == "yes" }.compactMap { $0["epochs"] } == ["1", "6"])
        #expect(!FileManager.default.fileExists(atPath: "\(compression.folder)/compressed.safetensors"))
    }

    /// Checks a compression's curve and report, and that its command does nothing more.
    private func expectWhatWasAskedFor(_ compression: Compression) async throws {
        let rows = String(decoding: try compression.file("curve.csv"), as: UTF8.self).split(separator: "\n")
            .map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
        let columns = Dictionary(uniqueKeysWithValues: zip(rows[0], rows[0].indices))
        func text(_ row: [String], _ column: String) throws -> String { row[try #require(columns[column])] }
        func number(_ row: [String], _ column: String) throws -> Double {
            try #require(Double(try text(row, column)))
        }
        let networks = rows.dropFirst()
        let found = try networks.map {
            "\(try text($0, "round")) \(try text($0, "method")) \(try text($0, "finetuned")) \(try text($0, "reconstructed"))"
        }
        #expect(
            found == ["0 none no no"]
                + (1...2).flatMap { round in
                    [
                        "ensemble no no", "l1 no no", "taylor no no", "random no no", "ensemble no yes",
                        "ensemble yes no",
                    ]
                    .map { "\(round) \($0)" }
                })
        for row in networks.dropFirst() {
            let share = try number(row, "round") / 2
            #expect(try number(row, "flops_removed") >= 1 - pow(0.5, share) - 1e-3)
            #expect(try number(row, "parameters_removed") >= 1 - pow(0.7, share) - 1e-3)
            #expect(try number(row, "test_loss") > 0)
        }
        // The ranking's choice costs less than a random one on the images that it saw.
        for round in ["1", "2"] {
            let losses = try networks.filter {
                try text($0, "round") == round && text($0, "finetuned") == "no" && text($0, "reconstructed") == "no"
            }
            .map { (try text($0, "method"), try number($0, "measured_loss")) }
            let byMethod = Dictionary(uniqueKeysWithValues: losses)
            #expect(try #require(byMethod["ensemble"]) < #require(byMethod["random"]))
        }
        for round in 1...2 {
            let folder = "\(compression.folder)/round-\(round)"
            let pruned = try Checkpoint.network(at: "\(folder)/pruned.safetensors")
            let reconstructed = try Checkpoint.network(at: "\(folder)/reconstructed.safetensors")
            #expect(reconstructed.graph == pruned.graph)
            #expect(reconstructed.parameters != pruned.parameters)
        }
        let network = try Checkpoint.network(at: "\(compression.folder)/compressed.safetensors")
        #expect(
            try number(try #require(networks.last), "flops") == Double(network.graph.cost().multiplyAccumulates))

        let page = String(decoding: try compression.file("report.html"), as: UTF8.self)
        #expect(page.contains("training images only"))
        #expect(page.contains("ranking, fine-tuned") && page.contains("L1 norm, removed"))
        #expect(!page.contains("src=\"http") && !page.contains("href=\"http"))

        let before = try compression.file("report.html")
        let again = try compression.start(compression.cluster.localWorkers(1))
        #expect(try await again.exitCode() == 0)
        #expect(try compression.file("report.html") == before)
        let other = try compression.start(["--round-to", "2"] + compression.cluster.localWorkers(1))
        #expect(try await other.exitCode() == 65)
        #expect(other.output.contains("--round-to is 2, was 1"))
    }
}
