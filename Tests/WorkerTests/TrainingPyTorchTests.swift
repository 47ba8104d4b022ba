import Foundation
import Shared
import TestSupport
import Testing

@testable import Worker

/// The engine beside PyTorch on the same network and images.
@Suite struct TrainingPyTorchTests {
    /// Reads a network and images, prints the loss, and writes all gradients in the order of the layout.
    private static let program = """
        import json, sys, struct, torch, torch.nn.functional as F
        torch.set_num_threads(1)
        folder = sys.argv[1]; meta = json.load(open(folder + "/meta.json"))
        def floats(name): return torch.frombuffer(bytearray(open(folder + "/" + name, "rb").read()), dtype=torch.float32)
        flat = floats("parameters"); p = {}; at = 0
        for name, shape in meta["trained"]:
            n = 1
            for s in shape: n *= s
            p[name] = flat[at:at + n].reshape(shape).clone().requires_grad_(); at += n
        x = floats("images").reshape(-1, 3, 32, 32)
        def bn(x, name): return F.batch_norm(x, None, None, p[name + ".weight"], p[name + ".bias"], True)
        def cut(x, b):
            x = x[:, :, ::b["stride"], ::b["stride"]]
            zero = torch.zeros_like(x[:, :1])
            return torch.cat([zero if c is None else x[:, c:c + 1] for c in b["shortcut"]], 1)
        x = F.relu(bn(F.conv2d(x, p["conv1.weight"], padding=1), "bn1"))
        for b in meta["blocks"]:
            n = b["name"]
            y = F.relu(bn(F.conv2d(x, p[n + ".conv1.weight"], stride=b["stride"], padding=1), n + ".bn1"))
            y = bn(F.conv2d(y, p[n + ".conv2.weight"], padding=1), n + ".bn2")
            x = F.relu(y + cut(x, b))
        z = F.linear(x.mean((2, 3)), p["linear.weight"], p["linear.bias"])
        loss = F.cross_entropy(z, torch.tensor(meta["labels"]), reduction="sum", label_smoothing=0.1)
        loss.backward()
        with open(folder + "/gradients", "wb") as f:
            for name, _ in meta["trained"]: f.write(p[name].grad.contiguous().numpy().tobytes())
        print(loss.item())
        """

    @Test(.enabled(if: Python.canImport("torch", "numpy"), "no PyTorch")) func gradientsAreThoseOfPyTorch() throws {
        guard case .residual(let residual) = try Architecture(TrainingFixtures.residual, for: "a test") else { return }
        let count = 8
        let network = TrainingFixtures.network(TrainingFixtures.residual, seed: 21)
        let images = TrainingFixtures.images(count, seed: 22)
        let layout = ParameterLayout(TrainingFixtures.residual)
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ floats: [Float], _ name: String) throws {
            try floats.withUnsafeBytes { try Data($0).write(to: folder.appendingPathComponent(name)) }
        }
        try write(layout.flatten(network).trained, "parameters")
        try write(
            (0..<count).flatMap { TrainingFixtures.pixels(images, $0).flatMap { $0.map { Float($0) } } }, "images")
        let meta: [String: Any] = [
            "trained": layout.trained.map { [$0.name, $0.shape] as [Any] },
            "labels": (0..<count).map { Int(images.label($0)) },
            "blocks": residual.blocks.map { block in
                [
                    "name": block.name, "stride": block.stride,
                    "shortcut": block.shortcut.map { $0 as Any? ?? NSNull() },
                ] as [String: Any]
            },
        ]
        try JSONSerialization.data(withJSONObject: meta).write(to: folder.appendingPathComponent("meta.json"))
        let (status, output) = try Python.run(Self.program, [folder.path])
        try #require(status == 0)
        let loss = try #require(
            Double(String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)))
        let data = try Data(contentsOf: folder.appendingPathComponent("gradients"))
        let expected = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        try #require(expected.count == layout.trainedCount)

        let trainer = ShardTrainer(
            TrainingFixtures.residual, images: ImageLoader(images, .standard), loss: TrainingLoss(labelSmoothing: 0.1),
            teacher: nil, shardSize: count)
        let found = try trainer.gradient(
            of: TrainingShard(images: Array(0..<count), augmentationSeed: nil, epoch: 0),
            with: ShardTrainer.Parameters(network))
        #expect(abs(found.lossSum - loss) < 1e-4 * loss)
        for entry in layout.trained {
            let largest = expected[entry.range].map { abs($0) }.max() ?? 0
            let error = zip(expected[entry.range], found.gradient[entry.range]).map { abs($0 - $1) }.max() ?? .infinity
            #expect(error < 2e-3 * largest + 1e-5, "\(entry.name): off by \(error) of \(largest)")
        }
    }
}
