import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// A fully connected network on images in MNIST's format, from random weights to a pruned and fine-tuned network.
@Suite struct FullyConnectedTests {
    private static let side = 8
    private static let classes = 10

    /// Noise with a bright bar, whose place and direction are the class.
    private func write(_ images: Int, _ prefix: String, to folder: String, using generator: inout SeededGenerator)
        throws
    {
        var pixels: [UInt8] = [0, 0, 8, 3, 0, 0, UInt8(images >> 8), UInt8(images & 255), 0, 0, 0, 8, 0, 0, 0, 8]
        var labels: [UInt8] = [0, 0, 8, 1, 0, 0, UInt8(images >> 8), UInt8(images & 255)]
        for image in 0..<images {
            let label = image % Self.classes
            labels.append(UInt8(label))
            for row in 0..<Self.side {
                for column in 0..<Self.side {
                    let line = label < Self.classes / 2 ? row : column
                    let isBright = line == label % (Self.classes / 2) + 1
                    pixels.append(UInt8.random(in: isBright ? 120...255 : 0...160, using: &generator))
                }
            }
        }
        try Data(pixels).write(to: URL(fileURLWithPath: "\(folder)/\(prefix)-images-idx3-ubyte"))
        try Data(labels).write(to: URL(fileURLWithPath: "\(folder)/\(prefix)-labels-idx1-ubyte"))
    }

    @Test func aNetworkIsTrainedRankedPrunedRefittedAndFineTunedOnImagesInMNISTsForm() async throws {
        let cluster = try TestCluster()
        let data = "\(cluster.folder)/idx"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: 5)
        try write(2000, "train", to: data, using: &generator)
        try write(500, "t10k", to: data, using: &generator)

        func run(_ command: [String]) async throws {
            #expect(try await cluster.start("winnow-coordinator", command).exitCode() == 0)
        }
        func path(_ name: String) -> String { "\(cluster.folder)/\(name)" }
        func accuracy(_ model: String) async throws -> Double {
            try Data(#"{"masks":[{"disabled":{}}]}"#.utf8).write(to: URL(fileURLWithPath: path("none.json")))
            let evaluate = try cluster.start(
                "winnow-worker",
                [
                    "evaluate", "--model", path(model), "--data", data, "--masks", path("none.json"), "--output",
                    path("l.json"),
                ])
            #expect(try await evaluate.exitCode() == 0)
            struct Losses: Decodable {
                struct Result: Decodable { var correct: Int }
                var images: Int
                var results: [Result]
            }
            let losses = try JSONDecoder().decode(
                Losses.self, from: Data(contentsOf: URL(fileURLWithPath: path("l.json"))))
            return Double(try #require(losses.results.first).correct) / Double(losses.images)
        }

        try await run([
            "train", "--architecture", "mlp:60-30", "--data", data, "--epochs", "6", "--learning-rate", "0.1",
            "--batch-size", "50", "--no-augmentation", "--output", path("trained.safetensors"),
        ])
        #expect(try await accuracy("trained.safetensors") > 0.95)
        try await run([
            "run", "--model", path("trained.safetensors"), "--data", data, "--masks", "256", "--local-workers", "2",
            "--run", path("lenet.winnow"),
        ])
        try await run([
            "prune", "--run", path("lenet.winnow"), "--data", data, "--remove-parameters", "0.8", "--reconstruct",
            "--output", path("pruned.safetensors"), "--json", path("pruned.json"),
        ])
        try await run([
            "finetune", "--model", path("pruned.safetensors"), "--distill-from", path("trained.safetensors"), "--data",
            data,
            "--epochs", "3", "--learning-rate", "0.05", "--batch-size", "50", "--no-augmentation", "--output",
            path("tuned.safetensors"),
        ])
        let pruned = try Checkpoint.network(at: path("tuned.safetensors"))
        #expect(pruned.graph.cost().parameters < 1400, "of 6,040")
        #expect(try await accuracy("tuned.safetensors") > 0.9)
    }
}
