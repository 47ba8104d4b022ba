import Foundation
import Shared
import TestSupport
import Testing

@testable import Worker

/// Gradients beside PyTorch's, which computes them in double precision, on the same networks and images.
@Suite struct TrainingPyTorchTests {
    private static let isPresent = Python.canImport("torch", "torchvision", "onnx", "numpy")

    /// The largest difference, as a part of the largest gradient of the same tensor.
    private static let tolerance: Float = 1e-4

    private struct Sample {
        let network: Network
        let images: ImageSet
        let folder: URL

        /// What PyTorch found, by tensor or layer; nil where it did not look for it.
        func expected(_ name: String) throws -> [String: [Float]]? {
            let file = folder.appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: file.path) else { return nil }
            return try JSONDecoder().decode([String: [Float]].self, from: Data(contentsOf: file))
        }
    }

    private func withSample(_ model: String, form: String, images count: Int, _ body: (Sample) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "winnow-training-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("PyTorch/gradients.py").path
        let program = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
        let (status, _) = try Python.run(program, [script, model, folder.path, form, "\(count)"])
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
        try body(Sample(network: network, images: images, folder: folder))
    }

    private func trainer(_ sample: Sample) -> ShardTrainer {
        ShardTrainer(
            sample.network.graph, images: ImageLoader(sample.images, .standard), loss: TrainingLoss(), teacher: nil,
            shardSize: sample.images.count)
    }

    private func compare(_ name: String, _ found: some Collection<Float>, _ expected: [Float]) {
        #expect(found.count == expected.count, "\(name)")
        let largest = expected.map { abs($0) }.max() ?? 0
        let error = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(error <= Self.tolerance * largest + 1e-7, "\(name): off by \(error) of \(largest)")
    }

    @Test(
        .enabled(if: isPresent, "no PyTorch with torchvision and onnx"),
        arguments: [
            "resnet-padded", "resnet-preactivated", "perceptron", "lenet5", "mobilenet_v2", "vgg16_bn", "densenet121",
            "resnet18", "efficientnet_b0", "mobilenet_v3_small", "squeezenet1_1", "googlenet", "shufflenet_v2",
        ])
    func gradientsAreThoseOfPyTorch(model: String) throws {
        // The older exporter knows no adaptive pooling to a size that does not divide.
        try withSample(model, form: model.hasPrefix("vgg") ? "dynamo-kept" : "kept", images: 8) { sample in
            let parameters = ShardTrainer.Parameters(sample.network)
            let found = try trainer(sample).gradient(
                of: TrainingShard(images: Array(0..<sample.images.count), augmentationSeed: nil, epoch: 0),
                with: parameters)
            let expected = try #require(try sample.expected("training"))
            for entry in ParameterLayout(sample.network.graph).trained {
                // The exporter renames what it shares; PyTorch's own names are what is compared.
                guard let gradient = expected[entry.name] else { continue }
                compare(entry.name, found.gradient[entry.range], gradient)
            }
            if let squares = try sample.expected("gates") {
                let gates = try trainer(sample).squaredGateGradients(of: 0..<sample.images.count, with: parameters)
                let space = FilterSpace(sample.network.graph)
                for (layer, values) in squares {
                    guard let layer = space.layer(named: layer) else { continue }
                    compare("gates of \(layer.name)", gates[layer.filters].map(Float.init), values)
                }
            }
        }
    }
}
