import Foundation
import Shared
import TestSupport
import Testing

@testable import Worker

/// Gradients compared with PyTorch's, computed in double precision, on the same networks and images.
@Suite struct TrainingPyTorchTests {
    private static let isPresent = Python.canImport("torch", "torchvision", "onnx", "numpy")

    /// The largest difference, relative to the largest gradient of the same tensor, plus an allowance relative to the
    /// network's largest: for a bias before a batch norm, for instance, only rounding is left.
    private static let (tolerance, rounding): (Float, Float) = (1e-4, 4e-6)

    private struct Sample {
        let network: Network
        let images: ImageSet
        /// PyTorch's results, by tensor or layer.
        let expected: [String: [Float]]

        /// The largest of all.
        var largest: Float { expected.values.joined().map { abs($0) }.max() ?? 0 }
    }

    private func sample(_ kind: String, _ model: String, images count: Int = 8) throws -> Sample {
        // The older exporter does not support adaptive pooling to a size that does not divide.
        let form = model.hasPrefix("vgg") ? "dynamo-kept" : "kept"
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "winnow-training-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("PyTorch/gradients.py").path
        let program = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
        let (status, _) = try Python.run(program, [script, kind, model, folder.path, form, "\(count)"])
        try #require(status == 0, "PyTorch could not differentiate \(model)")
        let read = try Onnx.network(at: folder.appendingPathComponent("\(form).onnx").path)
        let network = Network(graph: read.graph, parameters: read.parameters)
        let given = try Data(contentsOf: folder.appendingPathComponent("images"))
        let layout = ImageLayout(shape: read.graph.imageShape, classes: read.graph.classes, pixelType: .float32)
        let givenLabels = try Data(contentsOf: folder.appendingPathComponent("labels"))
        let images = ImageSet(layout, split: .train, count: count) { labels, pixels in
            for image in 0..<count { labels[image] = Int32(givenLabels[image]) }
            pixels.copyBytes(from: given)
        }
        let found = try Data(contentsOf: folder.appendingPathComponent("gradients"))
        return Sample(
            network: network, images: images, expected: try JSONDecoder().decode([String: [Float]].self, from: found))
    }

    private func trainer(_ sample: Sample) -> ShardTrainer {
        ShardTrainer(
            sample.network.graph, images: ImageLoader(sample.images, .standard), loss: TrainingLoss(), teacher: nil,
            shardSize: sample.images.count)
    }

    private func compare(_ name: String, _ found: some Collection<Float>, _ expected: [Float], largest: Float) {
        #expect(found.count == expected.count, "\(name)")
        let size = expected.map { abs($0) }.max() ?? 0
        let error = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(
            error <= Self.tolerance * size + Self.rounding * largest, "\(name): off by \(error) of \(size), \(largest)")
    }

    @Test(
        .enabled(if: isPresent, "no PyTorch with torchvision and onnx"),
        arguments: [
            "resnet-padded", "resnet-preactivated", "perceptron", "lenet5", "mobilenet_v2", "vgg16_bn", "densenet121",
            "resnet18", "efficientnet_b0", "mobilenet_v3_small", "squeezenet1_1", "googlenet", "shufflenet_v2",
        ])
    func gradientsAreThoseOfPyTorch(model: String) throws {
        let sample = try sample("training", model)
        let found = try trainer(sample).gradient(
            of: TrainingShard(images: Array(0..<sample.images.count), augmentationSeed: nil, epoch: 0),
            with: ShardTrainer.Parameters(sample.network))
        for entry in ParameterLayout(sample.network.graph).trained {
            let expected = try #require(sample.expected[entry.name], "\(entry.name) has another name in PyTorch")
            compare(entry.name, found.gradient[entry.range], expected, largest: sample.largest)
        }
    }

    @Test(.enabled(if: isPresent, "no PyTorch with torchvision and onnx"), arguments: ["resnet18", "mobilenet_v2"])
    func gatesAreThoseOfPyTorch(model: String) throws {
        let sample = try sample("gates", model)
        let found = try trainer(sample).squaredGateGradients(
            of: 0..<sample.images.count, with: ShardTrainer.Parameters(sample.network))
        let space = FilterSpace(sample.network.graph)
        for (name, expected) in sample.expected {
            // A channel that only its followers' absence could disable is not a filter.
            guard let layer = space.layer(named: name) else { continue }
            compare("gates of \(name)", found[layer.filters].map(Float.init), expected, largest: sample.largest)
        }
    }
}
