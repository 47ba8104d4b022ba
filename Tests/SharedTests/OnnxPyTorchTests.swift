import Foundation
import TestSupport
import Testing

@testable import Shared

/// Networks as written by PyTorch's exporters, compared with PyTorch's own outputs.
@Suite struct OnnxPyTorchTests {
    private static let isPresent = Python.canImport("torch", "torchvision", "onnx", "onnxscript")

    /// A network's content, whichever exporter wrote its file.
    struct Case: CustomTestStringConvertible {
        let model: String
        /// Convolutions, linear layers, and batch norms if they are kept.
        let layers: [Int]
        /// A layer that must have its name of PyTorch in every form.
        let name: String
        var testDescription: String { model }
    }

    // The definition takes minutes for the larger ones in a debug build.
    #if DEBUG
        private static let cases = small
    #else
        private static let cases = small + large
    #endif

    private static let small = [
        Case(model: "lenet5", layers: [2, 3, 0], name: "conv2"),
        Case(model: "lenet300", layers: [0, 3, 0], name: "3"),
        Case(model: "perceptron", layers: [0, 3, 2], name: "5"),
        Case(model: "resnet-padded", layers: [9, 1, 9], name: "layer2.1.conv2"),
        Case(model: "resnet-projected", layers: [11, 1, 11], name: "layer2.0.shortcut.0"),
        Case(model: "resnet-preactivated", layers: [11, 1, 9], name: "blocks.3.conv2"),
        Case(model: "activations", layers: [16, 1, 0], name: "convs.7"),
        Case(model: "rearrangements", layers: [3, 1, 0], name: "conv3"),
    ]

    private static let large = [
        Case(model: "resnet18", layers: [20, 1, 20], name: "layer4.0.downsample.0"),
        Case(model: "vgg16_bn", layers: [13, 2, 13], name: "features.37"),
        Case(model: "mobilenet_v2", layers: [52, 1, 52], name: "features.3.conv.1.0"),
        Case(model: "mobilenet_v3_small", layers: [52, 2, 34], name: "features.1.block.1.fc1"),
        Case(model: "efficientnet_b0", layers: [81, 1, 49], name: "features.2.0.block.1.0"),
        Case(model: "densenet121", layers: [120, 1, 121], name: "features.denseblock2.denselayer3.conv2"),
        Case(model: "squeezenet1_1", layers: [26, 0, 0], name: "features.4.expand3x3"),
        Case(model: "shufflenet_v2", layers: [56, 1, 56], name: "stage3.2.branch2.3"),
        Case(model: "googlenet", layers: [57, 1, 57], name: "inception4c.branch2.1.conv"),
    ]

    @Test(.enabled(if: isPresent, "no PyTorch with torchvision, onnx and onnxscript"), arguments: cases)
    func everyExportComputesWhatPyTorchDoes(network: Case) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-onnx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let forms = try export(network.model, to: folder)
        // The older exporter does not support adaptive pooling to a size that does not divide.
        #expect(forms == ["folded", "kept", "dynamo", "dynamo-kept"] || forms == ["dynamo", "dynamo-kept"])

        let images = try floats(folder, "images")
        let logits = try floats(folder, "logits")
        for form in forms {
            let read = try Onnx.network(at: folder.appendingPathComponent("\(form).onnx").path)
            try check(read, network, keepsBatchNorms: form.hasSuffix("kept"), form)
            let count = read.graph.imageShape.count
            let inputs = (0..<images.count / count).map { image in
                images[image * count..<(image + 1) * count].map(Double.init)
            }
            let results = ReferenceForward(Network(graph: read.graph, parameters: read.parameters)).outputs(inputs)
                .joined().map(Float.init)
            #expect(results.count == logits.count)
            let scale = logits.map(abs).max() ?? 0
            let error = zip(results, logits).map { abs($0 - $1) }.max() ?? .infinity
            #expect(error <= 2e-5 * scale, "\(form): \(error) of \(scale)")
        }
    }

    private func check(_ read: OnnxNetwork, _ network: Case, keepsBatchNorms: Bool, _ form: String) throws {
        var (convolutions, linears, batchNorms) = (0, 0, 0)
        for node in read.graph.nodes {
            switch node.operation {
            case .convolution: convolutions += 1
            case .linear: linears += 1
            case .batchNorm: batchNorms += 1
            default: break
            }
        }
        #expect([convolutions, linears] == Array(network.layers.prefix(2)), "\(form)")
        if keepsBatchNorms {
            #expect(batchNorms == network.layers[2], "\(form)")
            #expect(read.notes.isEmpty, "\(form)")
        } else if convolutions > 0, batchNorms < network.layers[2] {
            #expect(read.notes.contains { $0.contains("folded") }, "\(form)")
        }
        #expect(read.graph.node(named: network.name) != nil, "\(form) has no \(network.name)")
    }

    /// Has PyTorch write a network in every form that it can.
    private func export(_ model: String, to folder: URL) throws -> [String] {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("PyTorch/export.py").path
        let program = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
        let (status, output) = try Python.run(program, [script, model, folder.path])
        try #require(status == 0, "PyTorch could not export \(model)")
        return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func floats(_ folder: URL, _ name: String) throws -> [Float] {
        let data = try Data(contentsOf: folder.appendingPathComponent(name))
        return data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}
