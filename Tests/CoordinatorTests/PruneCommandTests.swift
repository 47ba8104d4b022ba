import Foundation
import TestSupport
import Testing

@testable import Coordinator
@testable import Shared

/// The command from its words to its files.
final class PruneCommandTests {
    private let folder: String
    private let network: Network

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-prune-test-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: 1)
        network = .random(.residual(widths: [8, 12, 16], blocksPerStage: 1, imageSize: 32), using: &generator)
        let bytes = Checkpoint.safetensors(of: network)
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/network.safetensors"))
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func prune(_ words: [String]) throws {
        guard case .command(let command) = try coordinatorProgram.parse(["prune"] + words) else { return }
        try command.run()
    }

    private func failure(_ words: [String]) -> Failure? {
        do {
            try prune(words)
            return nil
        } catch { return error as? Failure }
    }

    @Test func aBudgetIsKeptAndEveryFileIsWritten() throws {
        let model = "\(folder)/network.safetensors"
        let output = "\(folder)/pruned.safetensors"
        try prune([
            "--model", model, "--method", "l1", "--scope", "all", "--remove-flops", "0.5", "--remove-parameters=0.55",
            "--output", output, "--onnx", "\(folder)/pruned.onnx", "--pytorch", "\(folder)/torch",
            "--json", "\(folder)/pruned.json",
        ])
        let pruned = try Checkpoint.network(at: output)
        let before = network.graph.cost()
        let after = pruned.graph.cost()
        #expect(2 * after.multiplyAccumulates <= before.multiplyAccumulates)
        #expect(Double(after.parameters) <= 0.45 * Double(before.parameters))
        #expect(try InputFile.size(of: output) < InputFile.size(of: model))
        #expect(InputFile.isReadable("\(folder)/pruned.onnx"))
        #expect(InputFile.isReadable("\(folder)/torch/network.py"))

        struct Record: Decodable {
            struct Size: Decodable { var parameters, multiplyAccumulates: Int }
            struct Layer: Decodable {
                var name: String
                var removed: [Int]
            }
            var after: Size
            var layers: [Layer]
        }
        let text = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/pruned.json"))
        let record = try JSONDecoder().decode(Record.self, from: text)
        #expect(record.after.parameters == after.parameters)
        #expect(record.after.multiplyAccumulates == after.multiplyAccumulates)
        // The removed filters in the record are the missing ones.
        let space = FilterSpace(network.graph)
        var mask = Mask(count: space.count)
        for layer in record.layers {
            let first = try #require(space.layer(named: layer.name)).filters.lowerBound
            for filter in layer.removed { mask[first + filter] = true }
        }
        #expect(try network.removing(mask) == pruned)
    }

    @Test func aRunFileHoldsAllThatPruningNeeds() throws {
        let space = FilterSpace(network.graph)
        let ensemble = try Ensemble(.tree, of: space, scope: SamplingScope(dropRate: 0.25), masks: 200, seed: 1)
        let description = RunDescription(
            run: RunID.random().description, created: Date(), program: "0", commandLine: [],
            network: .init(
                path: "net", digest: Digest(sha256Of: Checkpoint.safetensors(of: network)), architecture: "",
                filters: space.count),
            data: .init(path: "data", images: Digest(sha256Of: [2]), calibrationImages: nil),
            settings: EvaluationSettings(split: .train, images: 10, batchNorm: .frozen), ensemble: ensemble,
            masksDigest: ensemble.sample, verifiedShare: 0)
        let path = "\(folder)/run.winnow"
        let file = try RunFile.create(at: path, description, checkpoint: Checkpoint.safetensors(of: network))
        // Filter `f` adds `f / 100` to the log-loss.
        for index in 0..<ensemble.count {
            let loss = exp(ensemble.mask(index).disabled.reduce(0) { $0 + Double($1) / 100 })
            try file.record(
                RecordedEvaluation(
                    mask: index,
                    evaluation: Evaluation(lossSum: Int64(loss * 10 * Evaluation.unitsPerNat), correct: 5, images: 10),
                    worker: 1, recorded: Date(), computeMicroseconds: 1))
        }
        try file.commit()
        let output = "\(folder)/pruned.safetensors"
        try prune(["--run", path, "--loss-model", "additive", "--remove-filters", "7", "--output", output])
        let pruned = try Checkpoint.network(at: output)
        // The first layer's filters matter least, and it keeps one.
        #expect(pruned["layer1.0.conv1.weight"].shape[0] == 1)
        #expect(FilterSpace(pruned.graph).count == space.count - 7)
    }

    @Test func aNetworkIsNeverLostToAnother() throws {
        let model = "\(folder)/network.safetensors"
        let words = ["--model", model, "--method", "l1", "--remove-filters", "50%", "--output"]
        let before = try InputFile.bytes(at: model, bytesMax: 1 << 30)
        #expect(failure(words + [model, "--force"])?.description.contains("is an input") == true)
        #expect(try InputFile.bytes(at: model, bytesMax: 1 << 30) == before)

        let output = "\(folder)/pruned.safetensors"
        try prune(words + [output])
        let pruned = try Checkpoint.network(at: output)
        #expect(
            failure(
                ["--remove-filters", "3"] + words.filter { !$0.contains("%") && $0 != "--remove-filters" } + [output])?
                .description.contains("--force") == true)
        #expect(try Checkpoint.network(at: output) == pruned)
        try prune(words + [output, "--force"])
    }

    @Test func aDryRunWritesNothing() throws {
        let words = [
            "--model", "\(folder)/network.safetensors", "--method", "l1", "--remove-flops", "0.5", "--dry-run",
        ]
        try prune(words + ["--verbose"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["network.safetensors"])
        #expect(failure(words + ["--output", "\(folder)/x"])?.description.contains("--dry-run") == true)
    }

    @Test func anybodysScoresJudgeTheFilters() throws {
        let model = "\(folder)/network.safetensors"
        let scores = "\(folder)/scores.csv"
        let layer = "layer2.0.conv1"
        let rows = (0..<12).map { "\"\(layer)\",\($0),\($0 % 2 == 0 ? -1 : Double($0))" }
        try Data(("layer,filter,importance\n" + rows.joined(separator: "\n") + "\n").utf8)
            .write(to: URL(fileURLWithPath: scores))
        let output = "\(folder)/pruned.safetensors"
        let words = ["--model", model, "--ranking", scores, "--remove-filters", "6", "--output", output]
        try prune(words)
        let pruned = try Checkpoint.network(at: output)
        let kept = stride(from: 1, to: 12, by: 2).flatMap { filter -> [Float] in
            let weights = network["\(layer).weight"].values
            let size = weights.count / 12
            return Array(weights[filter * size..<(filter + 1) * size])
        }
        #expect(pruned["\(layer).weight"].values == kept)

        for (text, complaint) in [
            ("layer,filter\n", "must name the columns"),
            ("layer,filter,importance\nnone,0,1\n", "line 2: the network has no"),
            ("layer,filter,importance\n\(layer),12,1\n", "the filters 0 to 11"),
            ("layer,filter,importance\n\(layer),1,nan\n", "must be a number"),
            ("layer,filter,importance\n\(layer),1,1\n\(layer),1,2\n", "line 3: filter 1"),
            ("layer,filter,importance\n", "ranks no filter"),
        ] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: scores))
            #expect(failure(words + ["--force"])?.description.contains(complaint) == true, "\(complaint)")
        }
    }

    @Test func whatPruningDidIsReadAtAGlance() {
        let size = PruningRecord.Size(network, fileBytes: 1000)
        var record = PruningRecord(
            commandLine: [], method: "ensemble", lossModel: "scarce", selection: .scores, before: size, after: size,
            removedFilters: 3, layers: [.init(name: "layer1.0.conv1", filters: 8, removed: [1, 2, 5])])
        for (stage, correct) in [(PruningRecord.Measurement.Stage.unpruned, 90), (.removed, 40), (.reconstructed, 85)] {
            record.measured.append(
                .init(network: stage, split: "train", images: 100, batchNorm: "frozen", loss: 1, correct: correct))
        }
        let lines = record.summary(byLayer: true).split(separator: "\n").map(String.init)
        func line(_ start: String) -> String? { lines.first { $0.hasPrefix("  \(start) ") } }
        #expect(line("before")?.contains("90.0 %") == true)
        #expect(line("filters removed")?.contains("40.0 %") == true)
        #expect(line("the result, layers refitted")?.contains("85.0 %") == true)
        #expect(line("layer1.0.conv1")?.split(separator: " ").suffix(3) == ["8", "3", "5"])
    }

    @Test func whatIsMissingIsNamed() {
        let model = "\(folder)/network.safetensors"
        let output = ["--output", "\(folder)/out.safetensors"]
        let cases: [([String], String)] = [
            (["--model", model, "--remove-flops", "0.5"], "--run"),
            (
                ["--model", model, "--method", "l1", "--ranking", model, "--remove-flops", "0.5"],
                "--ranking or --method"
            ),
            (["--method", "l1", "--remove-flops", "0.5"], "--model"),
            (["--model", model, "--method", "l1"], "no budget"),
            (["--model", model, "--method", "l1", "--remove-flops", "1.5"], "--remove-flops"),
            (["--model", model, "--method", "l1", "--remove-filters", "1.5"], "whole number"),
            (["--model", model, "--method", "l1", "--remove-flops", "0.5", "--recalibrate"], "--data"),
            (["--model", model, "--method", "l1", "--remove-flops", "0.5", "--reconstruct"], "--data"),
            (
                [
                    "--model", model, "--method", "l1", "--remove-flops", "0.5", "--reconstruct", "--recalibrate",
                    "--data", folder,
                ], "--recalibrate or --reconstruct"
            ),
            (
                ["--model", model, "--method", "l1", "--remove-flops", "0.5", "--selection", "reconstruction"],
                "--selection reconstruction needs --data"
            ),
            (["--model", model, "--method", "taylor", "--remove-flops", "0.5"], "--data"),
            (["--model", model, "--method", "l1", "--max-loss-rise", "0.5"], "predict a loss"),
            (["--model", model, "--method", "l1", "--remove-flops", "0.99"], "of the FLOPs can be removed"),
        ]
        for (words, expected) in cases {
            let failure = failure(words + output)
            #expect(failure?.kind == .usage)
            #expect(failure?.description.contains(expected) == true, "\(words)")
        }
        #expect(!InputFile.isReadable("\(folder)/out.safetensors"))
    }
}
