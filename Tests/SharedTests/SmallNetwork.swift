import Foundation
import TestSupport

@testable import Shared

/// The small network of the committed checkpoints (`Tests/Fixtures/checkpoints/make.py`), whose values are known.
enum SmallNetwork {
    static let architecture: Graph = {
        let blocks = [("layer1.0", 1, 4, 4), ("layer2.0", 2, 4, 6)].map { name, stride, input, output in
            CIFARResNet.Block(
                name: name, stride: stride, input: input, hidden: 5, output: output,
                shortcut: CIFARResNet.Block.paddedShortcut(input: input, output: output))
        }
        return .residual(CIFARResNet(stem: 4, blocks: blocks, classes: 10))
    }()

    /// Its tensors, in PyTorch's order.
    static let tensors: [(name: String, tensor: Tensor)] = architecture.parameters.map { parameter in
        let (name, shape) = (parameter.name, parameter.shape)
        let count = shape.reduce(1, *)
        let values = (0..<count).map { index -> Float in
            let step = (index + name.utf8.count) % 64
            return Float(name.hasSuffix("running_var") ? step : step - 32) / 16
        }
        return (name, Tensor(shape: shape, values: values))
    }

    static let network = Network(
        graph: architecture, parameters: Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) }))

    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/checkpoints").path

    /// The bytes of a committed checkpoint.
    static func checkpoint(_ name: String) throws -> [UInt8] {
        try InputFile.bytes(at: "\(fixtures)/\(name)", bytesMax: 1 << 20)
    }

    /// A safetensors file of its tensors after a change.
    static func changed(
        metadata: [(String, String)] = [], _ change: (inout [(name: String, tensor: Tensor)]) -> Void
    ) -> [UInt8] {
        var tensors = tensors
        change(&tensors)
        return Safetensors.write(tensors, metadata: metadata)
    }
}

/// What reading a checkpoint complains about.
func checkpointComplaint(_ bytes: [UInt8]) -> String {
    do {
        _ = try Checkpoint.network(bytes: bytes, name: "FILE")
        return "no error"
    } catch let failure as Failure {
        return failure.kind == .badInput ? failure.description : "of another kind: \(failure)"
    } catch {
        return "no Failure: \(error)"
    }
}
