import Foundation
import TestSupport
import Testing

@testable import Shared

/// Checkpoints as training scripts leave them (`Tests/PyTorch/checkpoints.py`), compared with PyTorch's results for
/// them.
@Suite struct CheckpointPyTorchTests {
    private static let isPresent = Python.canImport("torch", "numpy")

    /// An entry of `cases.json`.
    private struct Case: Decodable {
        struct Hints: Decodable {
            var weights: String?
            var activation: String?
            var shortcut: String?
            var epsilon: Double?
            var layerOrder: [String]?
        }
        var name: String
        var file: String
        var image: [Int]
        var hints: Hints
        var note: String
        var refusal: String?
    }

    @Test(.enabled(if: isPresent, "no PyTorch"))
    func everyCheckpointComputesWhatPyTorchDoes() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "winnow-checkpoints-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("PyTorch/checkpoints.py").path
        let program = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
        let (status, _) = try Python.run(program, [script, folder.path])
        try #require(status == 0, "PyTorch could not write the checkpoints")
        let list = try Data(contentsOf: folder.appendingPathComponent("cases.json"))
        let cases = try JSONDecoder().decode([Case].self, from: list)
        #expect(cases.count > 50)
        for each in cases { try check(each, in: folder) }
    }

    private func check(_ each: Case, in folder: URL) throws {
        var notes: [String] = []
        let hints = CheckpointHints(
            weights: each.hints.weights, activation: each.hints.activation.flatMap(Operation.Activation.init(named:)),
            shortcut: each.hints.shortcut.flatMap(CheckpointHints.Shortcut.init), epsilon: each.hints.epsilon,
            layerOrder: each.hints.layerOrder ?? [])
        let network: Network
        do {
            network = try Checkpoint.network(
                at: folder.appendingPathComponent(each.file).path,
                image: Shape(channels: each.image[0], height: each.image[1], width: each.image[2]), hints: hints,
                note: { notes.append($0) })
        } catch {
            #expect(each.refusal.map { "\(error)".contains($0) } ?? false, "\(each.name): \(error)")
            return
        }
        #expect(each.refusal == nil, "\(each.name) is read")
        #expect(each.note.isEmpty || notes.contains { $0.contains(each.note) }, "\(each.name): \(notes)")
        let images = try floats(folder, "\(each.name).images")
        let logits = try floats(folder, "\(each.name).logits")
        let count = each.image.reduce(1, *)
        let inputs = (0..<images.count / count).map { image in
            images[image * count..<(image + 1) * count].map(Double.init)
        }
        let results = ReferenceForward(network).outputs(inputs).joined().map(Float.init)
        let scale = logits.map(abs).max() ?? 0
        let error = zip(results, logits).map { abs($0 - $1) }.max() ?? .infinity
        #expect(results.count == logits.count && error <= 2e-5 * scale, "\(each.name): \(error) of \(scale)")
        // Readers of the written file know as much.
        let again = try Checkpoint.network(
            bytes: Checkpoint.safetensors(of: network), name: "again", note: { Issue.record("\(each.name): \($0)") })
        #expect(again == network, "\(each.name)")
    }

    private func floats(_ folder: URL, _ name: String) throws -> [Float] {
        let data = try Data(contentsOf: folder.appendingPathComponent(name))
        return data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}
